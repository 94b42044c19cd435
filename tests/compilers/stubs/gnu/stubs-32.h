// Stands for a file of the 32-bit glibc, so that a check for a 32-bit target needs none.
