"""`detect bulk`: millions of pictures in a bucket or folder, by any number of workers."""
