using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;

namespace LowRankQuant.Models.Decoder;

/// <summary>From the last hidden state to logits: final norm, projection where the head is narrower than the stream, head, bias, factor, cap, whatever a family has.</summary>
public sealed class OutputHead : IDisposable
{
    private readonly Variable _weight;

    /// <summary>Creates the head.</summary>
    /// <param name="norm">In front of it; null for none.</param>
    /// <param name="weight">[vocabulary, width]; owned.</param>
    /// <param name="parts">What else it owns.</param>
    internal OutputHead(INorm? norm, Tensor weight, IDisposable? parts = null)
    {
        Norm = norm;
        Parts = parts;
        _weight = new Variable(weight);
    }

    /// <summary>Rows of the head.</summary>
    public int VocabularySize => _weight.Value.Rows;

    /// <summary>[width, hidden], or null where the width is the stream's.</summary>
    internal Tensor? Projection { get; init; }

    /// <summary>[vocabulary], or null.</summary>
    internal Tensor? Bias { get; init; }

    /// <summary>Multiplies logits.</summary>
    internal float Factor { get; init; } = 1;

    /// <summary>Caps logits, behind the factor; 0 for none.</summary>
    internal float SoftCap { get; init; }

    private INorm? Norm { get; }

    private IDisposable? Parts { get; }

    /// <summary>Logits [rows, vocabulary] of hidden states [rows, hidden].</summary>
    public Variable Logits(Tape tape, Variable hidden)
    {
        Variable logits = tape.Linear(Final(tape, hidden), _weight, Bias is null ? null : new Variable(Bias));
        if (Factor != 1) logits = tape.Scale(logits, Factor);
        return SoftCap > 0 ? tape.Bend(Curve.SoftCap(SoftCap), logits) : logits;
    }

    /// <summary>What the head's matrix sees, [rows, width], of hidden states [rows, hidden].</summary>
    public Variable Final(Tape tape, Variable hidden)
    {
        Variable x = Norm is null ? hidden : Norm.Apply(tape, hidden);
        return Projection is null ? x : tape.Linear(x, new Variable(Projection));
    }

    /// <summary>Why the head cannot read a rotated stream; null where it can.</summary>
    public string? RotationObstacle =>
        Projection is not null ? "a projection stands in front of the head"
        : Norm is null or IChannelNorm { SubtractsMean: false } ? null
        : "the norm in front of the head subtracts the mean of a row (LayerNorm), which a rotation does not keep";

    /// <summary>Makes the head read the rotated stream x Q: the final norm's weight g goes into the matrix, W diag(g) Q, and becomes 1.</summary>
    /// <param name="rotation">Q, of the stream's channels.</param>
    /// <param name="rounding">Of the matrix to the digits that are stored; null for all digits.</param>
    /// <returns>The final norm as it is to be stored; the matrix is not among it, see <see cref="WeightValues"/>.</returns>
    /// <exception cref="InvalidOperationException">There is a <see cref="RotationObstacle"/>.</exception>
    public ChangedTensors RotateStream(IChannelRotation rotation, Func<float, float>? rounding = null)
    {
        if (RotationObstacle is not null) throw new InvalidOperationException($"The output head cannot be rotated: {RotationObstacle}.");
        BlockTensors tensors = (Parts as BlockParts)?.Tensors ?? throw new InvalidOperationException("The output head does not know the names of its tensors.");
        Rotations.Columns(_weight.Value, rotation, (Norm as IChannelNorm)?.TakeWeight(tensors), rounding);
        return tensors.Changes(weights: false);
    }

    /// <summary>A copy of the matrix, [vocabulary, width].</summary>
    public float[] WeightValues() => _weight.Value.ToArray();

    /// <inheritdoc/>
    public void Dispose()
    {
        _weight.Value.Dispose();
        Parts?.Dispose();
    }
}
