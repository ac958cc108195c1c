using System.Numerics;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>How a range becomes a grid, and in which order a value is rounded onto it.</summary>
public enum ActivationRule
{
    /// <summary>
    /// What compressed-tensors computes and what its checkpoints mean. Codes are signed, the range contains 0, and the zero point is added before the rounding:
    /// q = clamp(round(x / s + z), -h, h - 1), x^ = (q - z) s.
    /// </summary>
    CompressedTensors,

    /// <summary>
    /// The evaluation code of the LRQ authors (arXiv 2407.11534). Codes are unsigned, the range is that of the values alone, and the zero point bounds the rounded value:
    /// q = clamp(round(x / s), -z, n - z), x^ = q s, code = q + z.
    /// </summary>
    Paper,

    /// <summary>
    /// 8-bit floats in the place of integers, as engines with such products compute: s = max|x| / 448, x^ = E4M3(x / s) s, E4M3 the nearest float of <see cref="SmallFloat.E4M3"/>.
    /// Symmetric and dynamic.
    /// </summary>
    Float8,
}

/// <summary>What shares one step.</summary>
public enum ActivationScope
{
    /// <summary>All rows and columns; known beforehand.</summary>
    Tensor,

    /// <summary>A head, that is a run of columns, over all rows; known beforehand.</summary>
    Head,

    /// <summary>A row; from its own values.</summary>
    Token,

    /// <summary>A head of a row; from its own values.</summary>
    TokenHead,

    /// <summary>A run of <see cref="ActivationGrid.GroupSize"/> columns of a row; from its own values.</summary>
    TokenGroup,
}

/// <summary>
/// A grid of activations, of keys or of values: integers, but for <see cref="ActivationRule.Float8"/>. With b bits, n = 2^b - 1 and h = 2^(b-1), from the range [mn, mx] of the values:
/// <code>
/// compressed-tensors   mn := min(mn, 0), mx := max(mx, 0)
///   symmetric          s = max(-mn, mx) / (n/2),   z = 0
///   asymmetric         s = (mx - mn) / n,          z = round(clamp(-h - mn/s, -h, h - 1))
///   s = 0              s := 2^-23,                 z := -h (asymmetric)
/// paper                s = max((mx - mn) / n, 1e-8), z = clamp(round(-mn/s), 0, n)
/// </code>
/// Rounding is half to even, and every operation is one of IEEE arithmetic in the order written: results are the same bits everywhere.
/// </summary>
/// <param name="Bits">Width of a code, 2 to 8.</param>
/// <param name="Symmetric">Whether the zero point is 0; only of compressed-tensors' rule.</param>
/// <param name="Scope">What shares one step.</param>
/// <param name="Rule">How a range becomes a grid.</param>
public sealed record ActivationGrid(int Bits, bool Symmetric, ActivationScope Scope, ActivationRule Rule = ActivationRule.CompressedTensors)
{
    /// <summary>Width of a code.</summary>
    public int Bits { get; } = Bits is >= 2 and <= 8 ? Bits : throw new ArgumentOutOfRangeException(nameof(Bits), Bits, "Codes of activations have 2 to 8 bits.");

    /// <summary>Whether the zero point is 0.</summary>
    public bool Symmetric { get; } = Rule == ActivationRule.CompressedTensors || Symmetric == (Rule == ActivationRule.Float8)
        ? Symmetric
        : throw new ArgumentException(Rule == ActivationRule.Paper ? "The paper's rule has no symmetric grid." : "8-bit floats have no zero point.", nameof(Symmetric));

    /// <summary>Columns of a <see cref="ActivationScope.TokenGroup"/>; else 0.</summary>
    public int GroupSize { get; init; }

    /// <summary>8-bit floats with a step per token.</summary>
    public static ActivationGrid Float8Token { get; } = new(8, true, ActivationScope.Token, ActivationRule.Float8);

    /// <summary>8-bit floats with a step per 128 columns of a token.</summary>
    public static ActivationGrid Float8Groups { get; } = new(8, true, ActivationScope.TokenGroup, ActivationRule.Float8) { GroupSize = FloatGrid.BlockSize };

    /// <summary>What codes stand for where they are floats; null for integers.</summary>
    public SmallFloat? Floats => Rule == ActivationRule.Float8 ? SmallFloat.E4M3 : null;

    /// <summary>Whether steps come from the values that are quantized.</summary>
    public bool IsDynamic => Scope is ActivationScope.Token or ActivationScope.TokenHead or ActivationScope.TokenGroup;

    /// <summary>Whether a row has several steps.</summary>
    public bool IsPerPart => IsPerHead || Scope == ActivationScope.TokenGroup;

    /// <summary>Whether every head has a step of its own.</summary>
    public bool IsPerHead => Scope is ActivationScope.Head or ActivationScope.TokenHead;

    /// <summary>n, the largest code less the least.</summary>
    public int Levels => (1 << Bits) - 1;

    /// <summary>h, what signed codes are below unsigned ones.</summary>
    public int Half => 1 << (Bits - 1);

    /// <summary>The least zero point.</summary>
    public int LeastZeroPoint => Rule == ActivationRule.Paper ? 0 : -Half;

    /// <summary>The largest zero point.</summary>
    public int MostZeroPoint => LeastZeroPoint + Levels;

    /// <summary>A short description, such as <c>int8 asymmetric token dynamic</c>.</summary>
    public string Describe() => $"{(Floats is null ? "int" : "fp")}{Bits} {(Symmetric ? "symmetric" : "asymmetric")} " + Scope switch
    {
        ActivationScope.TokenGroup => $"token and {GroupSize} columns dynamic",
        ActivationScope.Tensor => "tensor",
        ActivationScope.Head => "head",
        ActivationScope.Token => "token dynamic",
        _ => "token and head dynamic",
    } + (Rule == ActivationRule.Paper ? ", the paper's rule" : "");

    /// <summary>The step and zero point of values between <paramref name="min"/> and <paramref name="max"/>, in the arithmetic of <typeparamref name="T"/>.</summary>
    public (T Step, T ZeroPoint) Of<T>(T min, T max)
        where T : IFloatingPointIeee754<T>
    {
        T levels = T.CreateChecked(Levels), half = T.CreateChecked(Half);
        if (Rule == ActivationRule.Paper)
        {
            T step = (max - min) / levels, floor = T.CreateChecked(1e-8);
            if (!(step > floor)) step = floor;
            return (step, Within(Rounded(-min / step), T.Zero, levels));
        }
        if (Floats is { } floats)
        {
            T largest = -min > max ? -min : max;
            return (largest > T.Zero ? largest / T.CreateChecked(floats.Largest) : T.CreateChecked(1.0 / (1 << 23)), T.Zero);
        }
        if (!(min < T.Zero)) min = T.Zero;
        if (!(max > T.Zero)) max = T.Zero;
        T s = Symmetric ? (-min > max ? -min : max) / (levels / T.CreateChecked(2)) : (max - min) / levels;
        if (s == T.Zero) return (T.CreateChecked(1.0 / (1 << 23)), Symmetric ? T.Zero : -half);
        return (s, Symmetric ? T.Zero : Rounded(Within(-half - (min / s), -half, half - T.One)));
    }

    /// <summary>What a step and a zero point, which need not be whole, do to the values of one unit.</summary>
    internal ActivationUnit<T> Unit<T>(T step, T zeroPoint)
        where T : IFloatingPointIeee754<T>
    {
        if (Floats is { } floats)
        {
            T largest = T.CreateChecked(floats.Largest);
            return new ActivationUnit<T>(step, T.Zero, -largest, largest, T.Zero);
        }
        T least = T.CreateChecked(LeastZeroPoint), most = T.CreateChecked(MostZeroPoint), zero = Within(Rounded(zeroPoint), least, most);
        return Rule == ActivationRule.Paper
            ? new ActivationUnit<T>(step, T.Zero, -zero, most - zero, zero - T.CreateChecked(Half))
            : new ActivationUnit<T>(step, zero, least, most, T.Zero);
    }

    // A number that is none stays none.
    private static T Within<T>(T x, T least, T most)
        where T : IFloatingPointIeee754<T> => x < least ? least : x > most ? most : x;

    private static T Rounded<T>(T x)
        where T : IFloatingPointIeee754<T> => T.Round(x, MidpointRounding.ToEven);
}

/// <summary>Both rules in one form: q = clamp(round(x / step + offset), low, high), x^ = (q - offset) step, signed code = q + shift.</summary>
/// <param name="Step">s.</param>
/// <param name="Offset">The zero point where it is added before the rounding, else 0.</param>
/// <param name="Low">Least q.</param>
/// <param name="High">Largest q.</param>
/// <param name="Shift">From q to the code that is stored, which is signed under both rules.</param>
internal readonly record struct ActivationUnit<T>(T Step, T Offset, T Low, T High, T Shift)
    where T : IFloatingPointIeee754<T>;
