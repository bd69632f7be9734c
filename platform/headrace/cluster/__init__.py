"""The only door to Kubernetes: requests, what they answer, and its failures in our words."""
