using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Gemma 1 to 3: embedding times sqrt(hidden), norms that multiply by 1 + w, tanh GELU whatever the key says, tied. Gemma 2: four norms, soft caps, windows in even
/// layers. Gemma 3: norms of heads, windows but in every sixth layer, and another base of the rotation there.
/// </summary>
internal sealed class GemmaFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gemma", "gemma2", "gemma3_text", "gemma3"];

    /// <inheritdoc/>
    public string Description => "Gemma 1, 2 and 3, also as the text model of the multimodal Gemma 3";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [GemmaGguf.First, GemmaGguf.Second, GemmaGguf.Third];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        int generation = reader.ModelType.StartsWith("gemma3", StringComparison.Ordinal) ? 3 : reader.ModelType == "gemma2" ? 2 : 1;
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            Tied = true,
            HeadSize = 256,
            Heads = generation == 3 ? 8 : null,
            KeyValueHeads = generation == 3 ? 4 : null,
            Vocabulary = generation == 3 ? 262208 : null,
            Positions = generation == 3 ? 131072 : 8192,
            Activation = "gelu_pytorch_tanh",
            Rope = new RopeRule { Theta = generation == 3 ? 1e6 : 10000 },
        }) with
        { Activation = Activation.GeluTanh };
        if (generation > 1) config = config with { AttentionScale = (float)(1 / Math.Sqrt(reader.Number("query_pre_attn_scalar") ?? 256)) };
        int pattern = generation == 2 ? 2 : reader.Size(reader.FirstOf("sliding_window_pattern", "_sliding_window_pattern"), 6);
        // Gemma 2 begins with a window, and every second layer is full; Gemma 3 has a full layer at the end of every run.
        IReadOnlyList<string> types = reader.LayerTypes(config.Layers, layer => generation == 1 || (layer + 1) % pattern == 0);
        int window = generation == 1 ? 0 : reader.Window("sliding_window", 4096);
        RopeConfig local = generation == 3
            ? reader.Rope(config.HeadSize, config.MaxPositions, new RopeRule { ThetaKey = "rope_local_base_freq", LayerType = "sliding_attention", Scaled = false })
            : config.Rope;
        float cap = (float)(reader.Number("final_logit_softcapping") ?? (generation == 2 ? 30 : 0)), scoreCap = (float)(reader.Number("attn_logit_softcapping") ?? (generation == 2 ? 50 : 0));
        return new Architecture
        {
            Config = config,
            Embedding = (parts, table) => new InputEmbedding { Table = table, HiddenSize = config.HiddenSize, Factor = (float)Math.Sqrt(config.HiddenSize), Parts = parts },
            Block = parts =>
            {
                bool slides = types[parts.Index] == "sliding_attention";
                AttentionShape shape = Standard.Shape(config, slides ? window : 0) with { SoftCap = scoreCap };
                Attention attention = Standard.Attention(parts, config, default, default, shape, slides ? local : config.Rope);
                GatedMlp mlp = Standard.GatedMlp(parts, config);
                if (generation == 1) return Normed(parts, config, attention, mlp);
                if (generation == 3)
                {
                    attention = attention with
                    {
                        QueryNorm = parts.RmsNorm("self_attn.q_norm", config.HeadSize, config.NormEpsilon, 1),
                        KeyNorm = parts.RmsNorm("self_attn.k_norm", config.HeadSize, config.NormEpsilon, 1),
                    };
                }
                return Standard.Sandwich(parts, config, attention, mlp, 1);
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon, 1),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { SoftCap = cap },
        };
    }

    private static SequentialBody Normed(BlockParts parts, DecoderConfig config, IMixer attention, IFeedForward mlp) => new()
    {
        MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon, 1),
        Mixer = attention,
        MlpNorm = parts.RmsNorm("post_attention_layernorm", config.HiddenSize, config.NormEpsilon, 1),
        Mlp = mlp,
    };
}
