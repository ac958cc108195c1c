using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Recurrent;
using LowRankQuant.Models.Families.Gguf.Hybrid;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>Falcon-H1: attention and Mamba-2 side by side on one norm, an MLP behind them, and multipliers of everything.</summary>
internal sealed class FalconH1Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["falcon_h1"];

    /// <inheritdoc/>
    public string Description => "Falcon-H1: attention and Mamba-2 side by side";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [FalconH1Gguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, Positions = 8192 });
        StateSpaceParts mamba = StateSpaceParts.Mamba(reader, config) with { Normed = reader.Flag("mamba_rms_norm", false), GateLast = reader.Flag("mamba_norm_before_gate", true) };
        int inner = mamba.Heads.Heads * mamba.Heads.HeadSize;
        if (reader.Has("mamba_d_ssm") && reader.Size("mamba_d_ssm") != inner) throw reader.Wrong("mamba_d_ssm", null, $"must be mamba_n_heads x mamba_d_head, {inner}");
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        float[] parts = Factors("ssm_multipliers", 5), feed = Factors("mlp_multipliers", 2);
        float embedding = Factor("embedding_multiplier"), logits = Factor("lm_head_multiplier"), key = Factor("key_multiplier");
        float mambaIn = Factor("ssm_in_multiplier"), mambaOut = Factor("ssm_out_multiplier"), attentionIn = Factor("attention_in_multiplier"), attentionOut = Factor("attention_out_multiplier");
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "final_layernorm", "layers"],
            Embedding = (around, table) => new InputEmbedding { Table = table, HiddenSize = config.HiddenSize, Factor = embedding, Parts = around },
            Block = block => new SequentialBody
            {
                MixerNorm = block.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = new ParallelMixers(
                    config.HiddenSize, (Standard.Attention(block, config, attention) with { KeyFactor = key }, attentionIn, attentionOut), (Mamba(block), mambaIn, mambaOut)),
                MlpNorm = block.RmsNorm("pre_ff_layernorm", config.HiddenSize, config.NormEpsilon),
                Mlp = Standard.GatedMlp(block, config, "feed_forward", config.IntermediateSize, mlp) with { GateFactor = feed[0], OutputFactor = feed[1] },
            },
            FinalNorm = around => around.RmsNorm("model.final_layernorm", config.HiddenSize, config.NormEpsilon),
            Head = (around, norm, weight) => new OutputHead(norm, weight, around) { Factor = logits },
        };

        StateSpaceMixer Mamba(BlockParts block)
        {
            StateSpaceMixer mixer = mamba.Make(block, config);
            int group = mamba.Heads.Groups * mamba.Heads.StateSize;
            int[] widths = [inner, inner, group, group, mamba.Heads.Heads];
            return mixer with { InputFactors = block.Made([.. widths.SelectMany((width, part) => Enumerable.Repeat(parts[part], width))], widths.Sum()) };
        }

        float Factor(string name) => (float)(reader.Number(name) ?? 1);

        float[] Factors(string name, int count) => reader.Numbers(name, count) ?? [.. Enumerable.Repeat(1f, count)];
    }
}
