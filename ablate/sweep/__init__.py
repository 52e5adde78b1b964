"""Running a plan: the only imports of ray, and a twin that runs in one process."""
