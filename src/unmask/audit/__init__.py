"""Which features did the encoder capture? Measures of finished networks, side by side, in numbers and pictures."""
