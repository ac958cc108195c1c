using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Families.Gguf;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>EXAONE 4: norms behind attention and MLP, RMSNorm of every head, and with a window full layers without rotation.</summary>
internal sealed class Exaone4Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["exaone4"];

    /// <inheritdoc/>
    public string Description => "EXAONE 4: norms behind attention and MLP, and full layers without rotation between windowed ones";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [OtherGguf.Exaone4];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Epsilon = 1e-5f });
        int window = reader.Window("sliding_window");
        IReadOnlyList<string> types = reader.LayerTypes(config.Layers, IsFull(reader, window));
        return new Architecture
        {
            Config = config,
            Block = parts =>
            {
                bool slides = window > 0 && types[parts.Index] == "sliding_attention", rotates = window == 0 || slides;
                Attention attention = Standard.Attention(parts, config, default, default, Standard.Shape(config, slides ? window : 0), rotates ? config.Rope : null) with
                {
                    QueryNorm = parts.RmsNorm("self_attn.q_norm", config.HeadSize, config.NormEpsilon),
                    KeyNorm = parts.RmsNorm("self_attn.k_norm", config.HeadSize, config.NormEpsilon),
                };
                return Standard.PostNorm(parts, config, attention, Standard.GatedMlp(parts, config));
            },
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
        };
    }

    // A word of L (sliding) and G (full), repeated, or a number n: every n-th layer is full.
    private static Func<int, bool> IsFull(ConfigReader reader, int window)
    {
        if (window == 0) return _ => true;
        if (reader.Word("sliding_window_pattern") is { Length: > 0 } pattern) return layer => pattern[layer % pattern.Length] == 'G';
        int every = reader.Size("sliding_window_pattern", 4);
        return layer => (layer + 1) % every == 0;
    }
}
