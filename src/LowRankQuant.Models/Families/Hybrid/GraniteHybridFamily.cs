using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Families.Gguf.Hybrid;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>
/// Granite 4: Mamba-2 with attention in some layers, experts in stacks beside an MLP for every token or that MLP alone, and Granite's four multipliers. Attention rotates only where
/// <c>position_embedding_type</c> is rope.
/// </summary>
internal sealed class GraniteHybridFamily : IModelFamily
{
    private const string Mixer = "block_sparse_moe";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["granitemoehybrid"];

    /// <inheritdoc/>
    public string Description => "Granite 4: Mamba-2 beside attention, dense or with experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GraniteHybridGguf.Attention, GraniteHybridGguf.Sparse, GraniteHybridGguf.Dense];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Intermediate = FamilyDefaults.FourTimes }) with { AttentionScale = Factor("attention_multiplier") };
        IReadOnlyList<string> types = reader.Words("layer_types", config.Layers) ?? reader.Words("layers_block_type", config.Layers) ?? [.. Enumerable.Repeat("mamba", config.Layers)];
        if (types.FirstOrDefault(type => !IsAttention(type) && !IsMamba(type)) is { } other) throw reader.Unsupported("layer_types", other);
        bool rotates = reader.Word("position_embedding_type") == "rope";
        BiasRule bias = reader.Bias("attention_bias", false);
        int count = reader.Count("num_local_experts", 8), shared = reader.Size("shared_intermediate_size", 1024);
        StateSpaceParts? mamba = types.Any(IsMamba) ? StateSpaceParts.Mamba(reader, config) : null;
        // The softmax of the chosen logits is that of all divided by the chosen ones' sum.
        Routing? routing = count > 0 ? new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok"), Norm = 1 } : null;
        float embedding = Factor("embedding_multiplier"), residual = Factor("residual_multiplier"), logits = 1 / Factor("logits_scaling");
        return new Architecture
        {
            Config = config,
            Embedding = (parts, table) => new InputEmbedding { Table = table, HiddenSize = config.HiddenSize, Factor = embedding, Parts = parts },
            Block = parts => Standard.PreNorm(
                parts, config, IsMamba(types[parts.Index]) ? mamba!.Make(parts, config) : Standard.Attention(parts, config, bias, bias, Standard.Shape(config), rotates ? config.Rope : null),
                FeedForward(parts), residual),
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Factor = logits },
        };

        float Factor(string key) => (float)(reader.Number(key) ?? 1);

        IFeedForward FeedForward(BlockParts parts)
        {
            if (routing is null) return Shared(parts);
            var experts = new ExpertParts($"{Mixer}.experts", count, config.HiddenSize, config.IntermediateSize)
            {
                Storage = ExpertStorage.Stacked,
                Stacks = ($"{Mixer}.input_linear.weight", $"{Mixer}.output_linear.weight"),
                Activation = config.Activation,
            };
            return Moe.Experts(parts, routing, $"{Mixer}.router.layer", experts) with { Shared = Shared(parts) };
        }

        GatedMlp Shared(BlockParts parts)
        {
            LinearSlot[] slots = parts.Fused(
                "shared_mlp.input_linear", config.HiddenSize, default, false, ("shared_mlp.gate_proj", RowPattern.Range(0, shared)), ("shared_mlp.up_proj", RowPattern.Range(shared, shared)));
            return new GatedMlp { Gate = slots[0], Up = slots[1], Down = parts.Linear("shared_mlp.output_linear", config.HiddenSize, shared), Activation = config.Activation };
        }
    }

    // The hub's words, and those of transformers 5.
    private static bool IsMamba(string type) => type is "mamba" or "linear_attention";

    private static bool IsAttention(string type) => type is "attention" or "full_attention";
}
