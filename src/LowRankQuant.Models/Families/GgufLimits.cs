using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Models.Families;

/// <summary>What GGUF, or llama.cpp as it runs an architecture, cannot say of a model.</summary>
internal static class GgufLimits
{
    private const string Remedy = "there is no GGUF form of this model here";

    // Published models have one of the two; measured in docs/results/gguf-families.md.
    private const float OwnEpsilon = 1e-6f, LargestEpsilon = 1e-5f;

    /// <summary>Why no file is written, a sentence each; empty where nothing is in the way.</summary>
    public static IEnumerable<string> Problems(GgufArchitecture architecture, GgufSubject subject)
    {
        DecoderConfig config = subject.Config;
        RopeConfig rope = config.Rope;
        string name = architecture.Name;
        if (!architecture.Activations.Contains(config.Activation))
            yield return $"hidden_act is {config.Activation}; the {name} architecture of llama.cpp has {string.Join(" or ", architecture.Activations).ToLowerInvariant()} only, so {Remedy}.";
        if (architecture.TiedOnly && !config.TiedEmbeddings) yield return $"the output head is one of its own; the {name} architecture has none but the embedding, so {Remedy}.";
        if (architecture.SquareAttention && config.Heads * config.HeadSize != config.HiddenSize)
            yield return $"{config.Heads} heads of {config.HeadSize} are not as wide as the stream, {config.HiddenSize}; the {name} architecture of llama.cpp takes them for that, so {Remedy}.";
        if (architecture.Pairs != GgufPairs.None)
        {
            bool reorders = architecture.Pairs == GgufPairs.Neighbours && !rope.Interleaved;
            if (rope.RotatedSize != config.HeadSize && (architecture.RotatesWholeHeads || (reorders && !architecture.OrdersPart)))
                yield return $"{rope.RotatedSize} of {config.HeadSize} elements of a head are rotated; the {name} architecture rotates all, so {Remedy}.";
            if (rope.Interleaved && architecture.Pairs == GgufPairs.Halves) yield return $"neighbouring elements of a head are rotated; the {name} architecture rotates its halves, so {Remedy}.";
            if (rope.Scaling == RopeScaling.Dynamic)
                yield return $"rope_scaling 'dynamic' is unknown to llama.cpp, so {Remedy}; remove it from config.json to export the model for up to {rope.MaxPositions} positions.";
            if (rope.Scaling == RopeScaling.Yarn && !rope.Truncate && !architecture.RoundsRamp && RampMoves(rope))
                yield return $"rope_scaling 'yarn' with truncate false has no counterpart in llama.cpp, which rounds the borders of the ramp to whole dimensions, so {Remedy}.";
            GgufRopeTensors wanted = rope.Scaling switch
            {
                RopeScaling.LongRope => GgufRopeTensors.ShortAndLong,
                RopeScaling.Llama3 or RopeScaling.Table or RopeScaling.Proportional => GgufRopeTensors.Divisors,
                _ => GgufRopeTensors.None,
            };
            if (wanted != GgufRopeTensors.None && wanted != architecture.RopeTensors)
                yield return $"rope_scaling '{rope.Scaling.ToString().ToLowerInvariant()}' has no place in the {name} architecture, so {Remedy}.";
        }
        foreach (string problem in architecture.Problems(subject)) yield return problem;
    }

    /// <summary>What the user of a file should know.</summary>
    public static IEnumerable<string> Warnings(GgufArchitecture architecture, GgufSubject subject)
    {
        RopeConfig rope = subject.Config.Rope;
        if (architecture.Pairs != GgufPairs.None && rope.Scaling == RopeScaling.Yarn && !rope.Truncate && architecture.RoundsRamp && RampMoves(rope))
            yield return "rope_scaling: llama.cpp rounds the borders of YaRN's ramp to whole dimensions, which this model does not (truncate false); its angles differ a little there.";
        if (subject.Config.Activation == Numerics.Activation.GeluErf && architecture.Activations.Contains(Numerics.Activation.GeluTanh))
            yield return $"hidden_act: the {architecture.Name} architecture of llama.cpp computes the tanh form of GELU, which differs from this model's by at most 0.0005.";
        if (Context(architecture, subject) is int context && context < subject.Config.MaxPositions)
        {
            yield return $"sliding_window: llama.cpp has no attention window in the {architecture.Name} architecture; the file says that the context is {context} tokens, " +
                $"up to which it computes the same (the model's is {subject.Config.MaxPositions}).";
        }
        foreach (string warning in architecture.Warnings(subject)) yield return warning;
    }

    /// <summary>Positions that the engine computes as the model does: within a window that the engine does not have, all of them are seen.</summary>
    public static int Context(GgufArchitecture architecture, GgufSubject subject) =>
        architecture.MissingWindow(subject) is > 0 and int window ? Math.Min(window, subject.Config.MaxPositions) : subject.Config.MaxPositions;

    /// <summary>Layers whose kind is not what the engine makes of their number.</summary>
    /// <param name="has">Whether a layer of the model is of the kind.</param>
    /// <param name="built">Whether the engine takes it for one.</param>
    /// <param name="layers">Layers.</param>
    /// <param name="what">The kind, such as <c>a window</c>.</param>
    /// <param name="architecture">Name of the architecture.</param>
    public static IEnumerable<string> OtherLayers(Func<int, bool> has, Func<int, bool> built, int layers, string what, string architecture)
    {
        int at = Enumerable.Range(0, layers).FirstOrDefault(layer => has(layer) != built(layer), -1);
        if (at >= 0) yield return $"layer {at} has {(has(at) ? "" : "not ")}{what}, and llama.cpp takes it for one that has {(has(at) ? "not" : "it")}: it decides by the layer's number in the {architecture} architecture, so {Remedy}.";
    }

    /// <summary>A sentence about what has an epsilon of 1e-6 in the model whatever the configuration says, and in llama.cpp that of all norms, where this makes another model of it.</summary>
    /// <param name="subject">The model.</param>
    /// <param name="architecture">Name of the architecture.</param>
    /// <param name="what">What has it.</param>
    public static IEnumerable<string> LargeEpsilon(GgufSubject subject, string architecture, string what)
    {
        if (subject.Config.NormEpsilon > LargestEpsilon)
            yield return Otherwise($"the epsilon of {what}", "1e-06", architecture, string.Create(CultureInfo.InvariantCulture, $"that of all norms, {subject.Config.NormEpsilon:g}"));
    }

    /// <summary>The same where it changes little.</summary>
    /// <inheritdoc cref="LargeEpsilon"/>
    public static IEnumerable<string> SmallEpsilon(GgufSubject subject, string architecture, string what)
    {
        if (subject.Config.NormEpsilon is var epsilon and not OwnEpsilon)
            yield return string.Create(CultureInfo.InvariantCulture, $"rms_norm_eps: {what} have 1e-06 in this model and {epsilon:g} in the {architecture} architecture of llama.cpp, whose logits differ by about a hundred-thousandth.");
    }

    /// <summary>A sentence about a value that the engine has built in otherwise.</summary>
    public static string Otherwise(string what, object value, string architecture, string engine) =>
        $"{what} is {value}; the {architecture} architecture of llama.cpp has {engine}, so {Remedy}.";

    private static bool RampMoves(RopeConfig rope)
    {
        double[] own = RopeFrequencies.Compute(rope, 1), rounded = RopeFrequencies.Compute(rope with { Truncate = true }, 1);
        return own.Zip(rounded, (a, b) => Math.Abs(a - b) > 1e-6 * a).Any(differs => differs);
    }
}
