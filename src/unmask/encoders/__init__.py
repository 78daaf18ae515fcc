"""Any timm CNN or ViT behind one protocol: images and hidden cells in, feature maps of the visible cells out."""
