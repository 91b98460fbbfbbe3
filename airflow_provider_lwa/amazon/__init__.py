"""What Amazon's documents say: pure rules, and one door to the network. Never imports Airflow."""
