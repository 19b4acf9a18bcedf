"""Training: simulated scans, data sets split by subject, training that resumes, recipes and stored weights."""
