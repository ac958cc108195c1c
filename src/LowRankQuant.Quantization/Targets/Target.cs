namespace LowRankQuant.Quantization.Targets;

/// <summary>The engines and containers whose rules a recipe can obey, so that an export loses nothing.</summary>
public enum Target
{
    /// <summary>llama.cpp: GGUF blocks.</summary>
    LlamaCpp,

    /// <summary>vLLM: compressed-tensors with fused layers and shards.</summary>
    Vllm,

    /// <summary>compressed-tensors as a container, whoever loads it.</summary>
    CompressedTensors,

    /// <summary>GPTQ version 2.</summary>
    Gptq,

    /// <summary>AWQ, GEMM layout.</summary>
    Awq,

    /// <summary>MLX affine quantization.</summary>
    Mlx,
}
