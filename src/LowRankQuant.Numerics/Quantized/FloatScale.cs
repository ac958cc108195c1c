namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// Scales that are powers of two (E8M0): a byte b stands for 2^(b - 127), and 255 for no number. Source: OCP Microscaling Formats 1.0.
/// </summary>
public static class FloatScale
{
    private const int Bias = 127;

    /// <summary>The byte of the largest power of two.</summary>
    public const byte LargestByte = 254;

    // Numbers of 4 bits whose scaled magnitude lies above this part of the next power of two are better served by it.
    private const double RoundUp = 1.75;

    /// <summary>What a byte stands for; NaN for 255.</summary>
    public static float PowerOfTwo(byte stored) => stored > LargestByte ? float.NaN : MathF.ScaleB(1, stored - Bias);

    /// <summary>The byte of a power of two; that of the next below for another positive number.</summary>
    public static byte ExponentByte(float scale) => (byte)(scale > 0 ? Math.Clamp(MathF.ILogB(scale) + Bias, 0, LargestByte) : 0);

    /// <summary>
    /// The power of two for a group, as llm-compressor finds it: its largest magnitude is rounded to a power of two, down where its mantissa is below 1.75, and divided by the largest
    /// power of two among the codes' values. A group of zeros gets 1.
    /// </summary>
    /// <param name="largest">The largest magnitude; finite.</param>
    /// <param name="codes">What codes stand for.</param>
    public static float PowerOfTwoFor(double largest, SmallFloat codes)
    {
        if (!(largest > 0)) return 1;
        int exponent = Math.ILogB(largest);
        if (Math.ScaleB(largest, -exponent) >= RoundUp) exponent++;
        return PowerOfTwo((byte)Math.Clamp(exponent - MathF.ILogB(codes.Largest) + Bias, 0, LargestByte));
    }
}
