using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// Command R (Cohere 1 and 2): attention and MLP side by side on one LayerNorm without bias, rotation of neighbouring pairs, scaled logits, tied. Cohere 1 may
/// normalise heads; Cohere 2 has windows, and full layers without rotation.
/// </summary>
internal sealed class CohereFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["cohere", "cohere2"];

    /// <inheritdoc/>
    public string Description => "Command R and R7B: attention and MLP side by side on one norm, tied embeddings, scaled logits";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [CohereGguf.First, CohereGguf.Second];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        bool isSecond = reader.ModelType == "cohere2", norms = reader.Flag("use_qk_norm", false);
        DecoderConfig config = reader.Decoder(new FamilyDefaults
        {
            EpsilonKey = "layer_norm_eps",
            Epsilon = 1e-5f,
            Tied = true,
            Rope = new RopeRule { Interleaved = true },
            Positions = 8192,
        });
        int pattern = reader.Size(reader.FirstOf("sliding_window_pattern", "_sliding_window_pattern"), 4), window = isSecond ? reader.Window("sliding_window", 4096) : 0;
        IReadOnlyList<string> types = reader.LayerTypes(config.Layers, layer => !isSecond || (layer + 1) % pattern == 0);
        BiasRule bias = reader.Bias("attention_bias", false);
        float logits = (float)(reader.Number("logit_scale") ?? 0.0625);
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool slides = types[parts.Index] == "sliding_attention";
                AttentionShape shape = Standard.Shape(config, slides ? window : 0);
                Attention attention = Standard.Attention(parts, config, bias, bias, shape, isSecond && !slides ? null : config.Rope);
                if (norms)
                {
                    attention = attention with
                    {
                        QueryNorm = parts.LayerNormOfHeads(parts.Tensor("self_attn.q_norm.weight", config.Heads, config.HeadSize), config.HeadSize, config.NormEpsilon),
                        KeyNorm = parts.LayerNormOfHeads(parts.Tensor("self_attn.k_norm.weight", config.KeyValueHeads, config.HeadSize), config.HeadSize, config.NormEpsilon),
                    };
                }
                GatedMlp mlp = Standard.GatedMlp(parts, config);
                return new ParallelBody { MixerNorm = parts.LayerNorm("input_layernorm", config.HiddenSize, config.NormEpsilon, bias: false), Mixer = attention, Mlp = mlp };
            },
            FinalNorm = parts => parts.LayerNorm("model.norm", config.HiddenSize, config.NormEpsilon, bias: false),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { Factor = logits },
        };
    }
}
