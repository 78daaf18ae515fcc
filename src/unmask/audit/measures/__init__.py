"""What an audit measures of networks, as functions of arrays and modules; nothing here knows the page."""
