using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Decoder.Linears;

/// <summary>Rounds activations on their way into linears, or into the memory of an attention. Linears that share an input share one.</summary>
public interface IActivationQuantizer
{
    /// <summary>
    /// x^, shaped as <paramref name="x"/> [rows, columns]. Asked several times for the same x of a pass it gives the same variable, so that whoever shares the input shares its
    /// quantized form too.
    /// </summary>
    Variable Apply(Tape tape, Variable x);
}

/// <summary>A quantizer whose codes can be had in the place of their values.</summary>
public interface ICodeQuantizer : IActivationQuantizer
{
    /// <summary>Whether <see cref="Codes"/> can be had: rows have one step.</summary>
    bool HasCodes { get; }

    /// <summary>The codes whose values <see cref="IActivationQuantizer.Apply"/> gives; as there, those who share an input share them.</summary>
    /// <exception cref="InvalidOperationException">The tape records.</exception>
    CodedActivations Codes(Tape tape, Variable x);
}

/// <summary>A quantizer on a grid.</summary>
public sealed class GridQuantizer : ICodeQuantizer, IDisposable
{
    private readonly int _heads;
    private readonly StaticSteps? _steps;
    private readonly bool _owned;

    // What codes of an input are kept under, beside its quantized floats.
    private readonly object _codes = new();

    private GridQuantizer(ActivationGrid grid, int heads, StaticSteps? steps, bool owned)
    {
        Grid = grid;
        _heads = heads;
        _steps = steps;
        _owned = owned;
    }

    /// <summary>The grid.</summary>
    public ActivationGrid Grid { get; }

    /// <summary>A quantizer that makes its steps from what it quantizes.</summary>
    /// <param name="grid">A dynamic grid.</param>
    /// <param name="heads">Heads of a row, where each has its own step.</param>
    /// <exception cref="ArgumentException">The grid is static.</exception>
    public static GridQuantizer Dynamic(ActivationGrid grid, int heads = 1) => grid.IsDynamic
        ? new GridQuantizer(grid, grid.IsPerHead ? heads : 1, null, owned: false)
        : throw new ArgumentException($"A grid by {grid.Scope} needs steps.", nameof(grid));

    /// <summary>A quantizer with steps that are known.</summary>
    /// <param name="device">Where activations are.</param>
    /// <param name="grid">A static grid.</param>
    /// <param name="steps">One, or one a head.</param>
    /// <param name="zeroPoints">As many; empty for zeros.</param>
    public static GridQuantizer Static(Device device, ActivationGrid grid, ReadOnlySpan<float> steps, ReadOnlySpan<float> zeroPoints)
    {
        Tensor step = device.From(steps, steps.Length), zeroPoint = zeroPoints.IsEmpty ? device.Zeros(steps.Length) : device.From(zeroPoints, zeroPoints.Length);
        return new GridQuantizer(grid, steps.Length, new StaticSteps(new Variable(step), new Variable(zeroPoint)), owned: true);
    }

    /// <summary>A quantizer with steps, and perhaps zero points, that somebody else owns and learns.</summary>
    public static GridQuantizer Learned(ActivationGrid grid, StaticSteps steps) => new(grid, (int)steps.Step.Value.Count, steps, owned: false);

    /// <inheritdoc/>
    public bool HasCodes => !Grid.IsPerPart && Grid.Floats is null;

    /// <inheritdoc/>
    public CodedActivations Codes(Tape tape, Variable x) => tape.Once(_codes, x, () => tape.ActivationCodes(x, Grid, _steps));

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => tape.Once(this, x, () => tape.QuantizeActivations(x, Grid, _steps, Grid.GroupSize > 0 ? x.Value.Columns / Grid.GroupSize : _heads));

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_owned) return;
        _steps!.Step.Value.Dispose();
        _steps.ZeroPoint.Value.Dispose();
    }
}
