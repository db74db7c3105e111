"""Fine-tuning: recipes, examples with labels, and TRL trainers."""
