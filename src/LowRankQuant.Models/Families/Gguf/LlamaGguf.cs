namespace LowRankQuant.Models.Families.Gguf;

/// <summary>Files of the llama architecture: Llama itself, Mistral within its window, Mixtral.</summary>
internal static class LlamaGguf
{
    private const string Name = "llama";
    private const int MostExperts = 128, Chunk = 8192, RotationStep = 4;
    private const double Temperature = 0.1;

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
        MissingWindow = subject => subject.Reader.Window("sliding_window"),
    };

    /// <summary>Llama 4.</summary>
    public static GgufArchitecture Fourth { get; } = new()
    {
        Name = "llama4",
        ModelType = "llama4_text",
        AlsoWrites = ["llama4"],
        Class = "Llama4ForCausalLM",
        Pairs = GgufPairs.Neighbours,
        RopeTensors = GgufRopeTensors.Divisors,
        RotatesWholeHeads = true,
        Names =
        [
            GgufNames.InputNorm, .. GgufNames.Attention, GgufNames.MlpNorm, .. GgufNames.Gated("feed_forward", ""), .. GgufNames.Experts("feed_forward.router", "feed_forward.experts"),
            .. GgufNames.Gated("feed_forward.shared_expert", "_shexp"),
        ],
        BiasKeys = [("attention_bias", "attn_")],
        Fields =
        [
            new GgufField(
                "feed_forward_length", subject => (uint)subject.Reader.Size("intermediate_size_mlp", subject.Config.IntermediateSize),
                reading => reading.Json["intermediate_size_mlp"] = reading.Whole("feed_forward_length")),
            GgufField.Whole("expert_count", "num_local_experts", 16),
            GgufField.Whole("expert_used_count", "num_experts_per_tok", 1),
            GgufField.Whole("expert_feed_forward_length", "intermediate_size"),
            GgufField.Whole("interleave_moe_layer_step", "interleave_moe_layer_step", 1),
            GgufField.Implied("use_qk_norm", reading => reading.Whole("expert_count") != MostExperts),
        ],
        Problems = FourthLimits,
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
        MissingWindow = subject => subject.Reader.Window("sliding_window"),
    };

    private static IEnumerable<string> FourthLimits(GgufSubject subject)
    {
        const string Of = "llama4";
        ConfigReader reader = subject.Reader;
        int layers = subject.Config.Layers, chunk = reader.Count("attention_chunk_size", Chunk), step = reader.Size("interleave_moe_layer_step", 1);
        bool[] rotates = reader.RotatedLayers(layers);
        // It asks for the temperatures of unrotated layers whether there is one or not, and ends the process where there is none.
        if (layers < RotationStep) yield return GgufLimits.Otherwise("num_hidden_layers", layers, Of, $"{RotationStep} at the least");
        foreach (string other in GgufLimits.OtherLayers(layer => rotates[layer], layer => (layer + 1) % RotationStep != 0, layers, "a rotation", Of)) yield return other;
        if (chunk != Chunk && !(chunk > subject.Config.MaxPositions)) yield return GgufLimits.Otherwise("attention_chunk_size", chunk, Of, $"{Chunk} built in");
        bool norms = reader.Flag("use_qk_norm", true), built = reader.Size("num_local_experts", 16) != MostExperts;
        if (norms != built) yield return GgufLimits.Otherwise("use_qk_norm", norms ? "true" : "false", Of, $"{(built ? "true" : "false")} built in for its number of experts");
        if (reader.Has("moe_layers"))
        {
            IReadOnlyList<int> listed = reader.Ids("moe_layers");
            foreach (string other in GgufLimits.OtherLayers(listed.Contains, layer => (layer + 1) % step == 0, layers, "experts", Of)) yield return other;
        }
        if (!reader.Switch("attn_temperature_tuning", true))
        {
            if (subject.Config.MaxPositions > Chunk) yield return GgufLimits.Otherwise("attn_temperature_tuning", "false", Of, "true built in");
            yield break;
        }
        double scale = reader.Number("attn_scale") ?? Temperature, floor = reader.Number("floor_scale") ?? Chunk;
        if (scale != Temperature || floor != Chunk) yield return GgufLimits.Otherwise("attn_scale and floor_scale", $"{scale} and {floor}", Of, $"{Temperature} and {Chunk} built in");
    }
}
