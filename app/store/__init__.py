"""What is kept: the tables, the queries on each subject, and the threads that run them."""
