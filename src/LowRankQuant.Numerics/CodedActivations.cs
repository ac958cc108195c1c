using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics;

/// <summary>
/// Activations as signed integer codes: x^ = (code - zero) * step, with one step and zero point for all rows, or one a row. What products of integers read in the place of
/// floats (<c>IKernels.MultiplyCodes</c>). The tensors are somebody else's.
/// </summary>
public sealed class CodedActivations
{
    private readonly Tensor _codes;

    /// <summary>Codes, steps and zero points of a matrix.</summary>
    /// <param name="grid">The grid, by tensor or by token.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="codes">Memory for the codes, one byte each: at least <see cref="FloatsFor"/> floats, which are never read as such.</param>
    /// <param name="step">s: [rows], or one element where the grid is static.</param>
    /// <param name="zeroPoint">z as the grid's rule has it, as many.</param>
    /// <exception cref="ArgumentException">A grid by heads, or a length that does not fit.</exception>
    public CodedActivations(ActivationGrid grid, int rows, int columns, Tensor codes, Tensor step, Tensor zeroPoint)
    {
        if (grid.Floats is { } floats) throw new ArgumentException($"{floats} codes are no integers.", nameof(grid));
        if (grid.IsPerHead) throw new ArgumentException($"A grid by {grid.Scope} has several steps within a row; products of codes take one.", nameof(grid));
        long steps = grid.IsDynamic ? rows : 1;
        if (step.Count != steps || zeroPoint.Count != steps) throw new ArgumentException($"{step.Count} steps and {zeroPoint.Count} zero points; {grid.Describe()} has {steps}.", nameof(step));
        if (codes.Count < FloatsFor(rows, columns)) throw new ArgumentException($"{codes} cannot hold the codes of {rows} x {columns}.", nameof(codes));
        Grid = grid;
        Rows = rows;
        Columns = columns;
        _codes = codes;
        Step = step;
        ZeroPoint = zeroPoint;
    }

    /// <summary>The grid.</summary>
    public ActivationGrid Grid { get; }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>s, [rows] or one element.</summary>
    public Tensor Step { get; }

    /// <summary>z as the grid's rule has it, as many as steps.</summary>
    public Tensor ZeroPoint { get; }

    /// <summary>Signed codes, row-major [rows, columns].</summary>
    public Span<sbyte> Codes => MemoryMarshal.Cast<float, sbyte>(_codes.Span)[..checked(Rows * Columns)];

    /// <summary>Floats whose memory holds the codes of a matrix.</summary>
    public static int FloatsFor(int rows, int columns) => checked((int)((((long)rows * columns) + 3) / 4));

    /// <summary>Step of a row, and the signed code that stands for 0 in it.</summary>
    internal (float Step, int Zero) Row(int row)
    {
        int at = Grid.IsDynamic ? row : 0;
        float step = Step.Span[at];
        ActivationUnit<float> unit = Grid.Unit(step, ZeroPoint.Span[at]);
        return (step, (int)(unit.Offset + unit.Shift));
    }
}
