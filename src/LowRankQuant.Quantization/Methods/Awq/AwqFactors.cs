using System.Globalization;

namespace LowRankQuant.Quantization.Methods.Awq;

/// <summary>A candidate for the factors of a site.</summary>
/// <param name="Ratio">r.</param>
/// <param name="Duo">Whether magnitudes of weights count too.</param>
internal readonly record struct AwqCandidate(double Ratio, bool Duo)
{
    /// <summary>All candidates, in the order in which they are tried; of equal ones the first is taken.</summary>
    public static AwqCandidate[] All(AwqOptions options)
    {
        int count = options.Candidates;
        return options.Scaling switch
        {
            AwqScaling.Duo => [new AwqCandidate(0, Duo: false), .. Enumerable.Range(0, count - 1).Select(i => new AwqCandidate((double)i / (count - 2), Duo: true))],
            AwqScaling.Single => [.. Enumerable.Range(0, count).Select(i => new AwqCandidate((double)i / (count - 1), Duo: false))],
            AwqScaling.AutoAwq => [.. Enumerable.Range(0, count).Select(i => new AwqCandidate((double)i / count, Duo: true))],
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Scaling, "Unknown scaling."),
        };
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"ratio {Ratio:0.##}");
}

/// <summary>
/// The factors of AWQ (Lin et al., MLSys 2024) for the channels of a site, from mean magnitudes x of its input and w of the weights that read it, each part of the largest of its group:
/// <code>
/// duo      s = max(x^r / (w^(1-r) + 1e-4), 1e-4)
/// single   s = max(x^r, 1e-4)
/// both     s / sqrt(max s * min s);  what is not finite becomes 1
/// </code>
/// </summary>
internal static class AwqFactors
{
    private const double Floor = 1e-4;

    /// <summary>The factors of a candidate, [channels].</summary>
    /// <param name="inputs">x.</param>
    /// <param name="weights">w.</param>
    /// <param name="candidate">r, and whether w counts.</param>
    public static float[] Of(double[] inputs, double[] weights, AwqCandidate candidate)
    {
        var factors = new double[inputs.Length];
        for (int i = 0; i < factors.Length; i++)
        {
            double size = Math.Pow(inputs[i], candidate.Ratio);
            factors[i] = Math.Max(candidate.Duo ? size / (Math.Pow(weights[i], 1 - candidate.Ratio) + Floor) : size, Floor);
        }
        double middle = Math.Sqrt(factors.Max() * factors.Min());
        return [.. factors.Select(factor => (float)(factor / middle)).Select(factor => float.IsFinite(factor) && factor > 0 ? factor : 1)];
    }
}
