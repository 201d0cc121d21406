"""gptbench: a reproducible benchmark and ablation pipeline for the GPT-1 paper."""
