"""What keeps two tasks apart, what does the one that waits hold, and what stays queued for ever?"""
