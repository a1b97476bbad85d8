"""Where executed notebooks, pages and pictures are made and published. Must not know engine, store or kernels."""
