using System.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// The quantizer of FLRQ's released code (specification FLRQ 1; the paper's Eq. 8 is its symmetric form), for one group of weights w:
/// <code>
/// asymmetric  s = max(max - min, 1e-5) / (2^d - 1),  z = clamp(-round(min / s), 0, 2^d - 1)      (the range is not widened to hold 0)
/// symmetric   s = max(2 max|w|, 1e-5) / (2^d - 1),   z = 2^(d-1)
/// code        c = clamp(round(w / s) + z, 0, 2^d - 1),  value (c - z) s
/// </code>
/// A group that was clamped on both sides has min = -max, so min / s and every clamped weight lie exactly between two integers and the last bit of
/// the input would decide. round(t) = rint(rint(t 2^20) / 2^20) takes that bit away (specification FLRQ 15, correction 1).
/// </summary>
internal static class RangeGrid
{
    private const double SmallestRange = 1e-5;
    private const double Snap = 1 << 20;

    /// <summary>Round half to even after a snap to multiples of 2^-20.</summary>
    public static double Round(double t) => Math.Round(Math.Round(t * Snap) / Snap);

    /// <summary>Scale and zero point of a range.</summary>
    public static (double Scale, int Zero) FromRange(double min, double max, UniformGrid grid)
    {
        if (grid.Symmetric) return (Math.Max(2 * Math.Max(-min, max), SmallestRange) / grid.MaxCode, grid.SymmetricZero);
        double scale = Math.Max(max - min, SmallestRange) / grid.MaxCode;
        return (scale, (int)Math.Clamp(-Round(min / scale), 0, grid.MaxCode));
    }

    /// <summary>The code of a weight; the zero need not be an integer.</summary>
    public static int Code(double weight, double scale, double zero, int maxCode)
    {
        double whole = Math.Round(zero);
        return (int)Math.Clamp(Round((weight / scale) + (zero - whole)) + whole, 0, maxCode);
    }

    /// <summary>The error (c - z) s - w of every weight of a group whose weights are clamped before they are rounded: <see cref="Code"/>, in vectors.</summary>
    /// <param name="weights">w.</param>
    /// <param name="limit">Magnitude to which weights are clamped.</param>
    /// <param name="scale">s.</param>
    /// <param name="zero">z.</param>
    /// <param name="maxCode">2^d - 1.</param>
    /// <param name="errors">Receives the errors.</param>
    public static void Errors(ReadOnlySpan<double> weights, double limit, double scale, int zero, int maxCode, Span<double> errors)
    {
        Vector<double> most = new(limit), step = new(scale), place = new(zero), highest = new(maxCode), snap = new(Snap);
        int i = 0;
        for (; i <= weights.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            var weight = new Vector<double>(weights[i..]);
            Vector<double> clamped = Vector.MinNative(Vector.MaxNative(weight, -most), most);
            Vector<double> rounded = Vector.Round(Vector.Round(clamped / step * snap) / snap) + place;
            Vector<double> code = Vector.MinNative(Vector.MaxNative(rounded, Vector<double>.Zero), highest);
            (((code - place) * step) - weight).CopyTo(errors[i..]);
        }
        for (; i < weights.Length; i++) errors[i] = ((Code(Math.Clamp(weights[i], -limit, limit), scale, zero, maxCode) - zero) * scale) - weights[i];
    }

    /// <summary>
    /// The code of a value that earlier errors have moved: such a value lies on no tie, so the nearest code is taken as it is (half to even, no snap).
    /// </summary>
    public static int CodeOfMoved(double value, double scale, double zero, int maxCode)
    {
        double whole = Math.Round(zero);
        return (int)Math.Clamp(Math.Round((value / scale) + (zero - whole)) + whole, 0, maxCode);
    }

    /// <summary>Inputs that share a scale.</summary>
    public static int GroupSize(WeightGrid grid, int inFeatures) => inFeatures / grid.GroupsPerRow(inFeatures);
}
