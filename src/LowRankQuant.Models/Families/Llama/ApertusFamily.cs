using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>Apertus: RMSNorm of every head, Llama 3's frequencies, an MLP of xIELU without a gate, whose four numbers are tensors of the checkpoint.</summary>
internal sealed class ApertusFamily : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["apertus"];

    /// <inheritdoc/>
    public string Description => "Apertus: norms of every head, and an MLP without a gate whose activation (xIELU) has four learned numbers";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.Apertus];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f, Rope = new RopeRule { Theta = 12e6 }, ActivationKey = "gate_of_apertus" });
        if (reader.Text("hidden_act") is { } named and not "xielu") throw reader.Unsupported("hidden_act", named);
        BiasRule attention = reader.Bias("attention_bias", false), mlp = reader.Bias("mlp_bias", false);
        return new Architecture
        {
            Config = config,
            Block = parts => new SequentialBody
            {
                MixerNorm = parts.RmsNorm("attention_layernorm", config.HiddenSize, config.NormEpsilon),
                Mixer = QwenFamily.Attention(parts, config, 0, attention, attention, norms: true),
                MlpNorm = parts.RmsNorm("feedforward_layernorm", config.HiddenSize, config.NormEpsilon),
                Mlp = Standard.PlainMlp(parts, config, "mlp.up_proj", "mlp.down_proj", mlp, Activation(parts)),
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    private static Curve Activation(BlockParts parts)
    {
        double above = Number("alpha_p", 1), below = Number("alpha_n", 1), slope = Number("beta"), limit = Number("eps");
        return Curve.Xielu((float)SoftPlus(above), (float)(slope + SoftPlus(below)), (float)slope, (float)limit);

        double Number(string name, params int[] shape) => parts.Tensor($"mlp.act_fn.{name}", shape).ToArray()[0];

        static double SoftPlus(double x) => Math.Log(1 + Math.Exp(x));
    }
}
