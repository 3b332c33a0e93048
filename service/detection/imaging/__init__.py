"""Pictures as bytes and pixels: headers, decoding, encoding, drawing, and their workers."""
