namespace LowRankQuant.Models.Export;

/// <summary>How a model's low-rank branches are written beside the exported base.</summary>
public enum ExportAdapter
{
    /// <summary>A PEFT folder, every module with its own rank.</summary>
    Peft,

    /// <summary>A PEFT folder padded to one rank of those that vLLM knows.</summary>
    PeftPadded,

    /// <summary>A GGUF LoRA file, every tensor with its own rank.</summary>
    GgufLora,
}
