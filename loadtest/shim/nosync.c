/* Put before the C library, it lets every sync succeed without asking the disk: what remains is the
 * price of durability without the disk. Only the load test uses it. */
int fsync(int file) { (void)file; return 0; }
int fdatasync(int file) { (void)file; return 0; }
