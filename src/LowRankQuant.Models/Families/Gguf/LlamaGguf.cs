namespace LowRankQuant.Models.Families;

/// <summary>Files of the llama architecture: Llama itself, Mistral within its window, Mixtral.</summary>
internal static class LlamaGguf
{
    private const string Name = "llama";

    /// <summary>Llama, and Mistral, which is the same without its window.</summary>
    public static GgufArchitecture Dense { get; } = new()
    {
        Name = Name,
        ModelType = "llama",
        Class = "LlamaForCausalLM",
        Pairs = GgufPairs.Neighbours,
        RopeTensors = GgufRopeTensors.Divisors,
        RotatesWholeHeads = true,
        Biased = GgufNames.AllBiased,
        Reads = reading => (reading.Whole("expert_count") ?? 0) == 0,
    };

    /// <summary>Mistral, which is read as Llama.</summary>
    public static GgufArchitecture Mistral { get; } = Dense with
    {
        ModelType = "mistral",
        Reads = _ => false,
        Problems = subject => GgufLimits.NoWindow(subject, Name),
    };

    /// <summary>Mixtral.</summary>
    public static GgufArchitecture Mixtral { get; } = Dense with
    {
        ModelType = "mixtral",
        Class = "MixtralForCausalLM",
        Names = [GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, .. GgufNames.Experts("block_sparse_moe.gate", "block_sparse_moe.experts", "w1", "w3", "w2")],
        BiasKeys = [],
        Fields = [GgufField.Whole("expert_count", "num_local_experts", 8), GgufField.Whole("expert_used_count", "num_experts_per_tok", 2)],
        Reads = reading => (reading.Whole("expert_count") ?? 0) > 0,
        Problems = subject => GgufLimits.NoWindow(subject, Name),
    };
}
