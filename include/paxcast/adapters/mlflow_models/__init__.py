"""Model code that MLflow stores beside a model's data. Each file stands alone: it may not import Paxcast."""
