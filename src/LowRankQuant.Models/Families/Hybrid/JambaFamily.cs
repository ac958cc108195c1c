using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Recurrent;
using LowRankQuant.Models.Families.Gguf.Hybrid;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>Jamba: Mamba-1 with norms of its steps, B and C, attention without rotation in every n-th layer, experts in every m-th.</summary>
internal sealed class JambaFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["jamba"];

    /// <inheritdoc/>
    public string Description => "Jamba: Mamba-1 beside attention, experts in some layers";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [MambaGguf.Jamba];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Positions = 262144, Rope = null });
        int channels = reader.Size("mamba_expand", 2) * config.HiddenSize, states = reader.Size("mamba_d_state", 16), taps = reader.Size("mamba_d_conv", 4);
        int rank = reader.Word("mamba_dt_rank") == "auto" || !reader.Has("mamba_dt_rank") ? (config.HiddenSize + 15) / 16 : reader.Size("mamba_dt_rank");
        bool convolutionBias = reader.Flag("mamba_conv_bias", true);
        BiasRule bias = reader.Bias("mamba_proj_bias", false);
        (int Every, int First) attention = (reader.Size("attn_layer_period", 8), reader.Count("attn_layer_offset", 4));
        (int Every, int First) experts = (reader.Size("expert_layer_period", 2), reader.Count("expert_layer_offset", 1));
        int count = reader.Size("num_experts", 16);
        var routing = new Routing { Experts = count, Chosen = reader.Size("num_experts_per_tok", 2) };
        return new Architecture
        {
            Config = config,
            BaseNames = ["embed_tokens", "final_layernorm", "layers"],
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("input_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = parts.Index % attention.Every == attention.First ? Standard.Attention(parts, config, default, default, Standard.Shape(config), null) : Mamba(parts),
                MlpNorm = parts.RmsNorm("pre_ff_layernorm", config.HiddenSize, config.NormEpsilon),
                Mlp = count > 1 && parts.Index % experts.Every == experts.First
                    ? Moe.Experts(
                        parts, routing, "feed_forward.router",
                        new ExpertParts("feed_forward.experts", count, config.HiddenSize, config.IntermediateSize) { Activation = config.Activation })
                    : Standard.GatedMlp(parts, config, "feed_forward", config.IntermediateSize),
            },
            FinalNorm = parts => parts.RmsNorm("model.final_layernorm", config.HiddenSize, config.NormEpsilon),
        };

        SelectiveScanMixer Mamba(BlockParts parts) => new()
        {
            Input = parts.Linear("mamba.in_proj", 2 * channels, config.HiddenSize, bias),
            Convolution = CausalConvolution.Load(parts, "mamba.conv1d", channels, taps, convolutionBias),
            Projection = parts.KeptLinear("mamba.x_proj", rank + (2 * states), channels),
            Norms = (parts.RmsNorm("mamba.dt_layernorm", rank, config.NormEpsilon), parts.RmsNorm("mamba.b_layernorm", states, config.NormEpsilon), parts.RmsNorm("mamba.c_layernorm", states, config.NormEpsilon)),
            Steps = parts.KeptLinear("mamba.dt_proj", channels, rank),
            StepBias = parts.Tensor("mamba.dt_proj.bias", channels),
            Rate = parts.NegativeExponential("mamba.A_log", 1, channels, states),
            Skip = parts.Tensor("mamba.D", channels),
            Output = parts.Linear("mamba.out_proj", config.HiddenSize, channels, bias),
        };
    }
}
