"""What is true of each release of SGLang and of what it uses: data files, and one typed look-up each."""
