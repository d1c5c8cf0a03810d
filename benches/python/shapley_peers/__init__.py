"""What `bench_shapley.py` is made of: the games, the peers, the measuring, the tables."""
