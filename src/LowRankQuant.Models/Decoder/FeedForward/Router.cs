using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.FeedForward;

/// <summary>From a token to its experts and their weights.</summary>
internal sealed class Router
{
    /// <summary>Projection to logits, [experts, hidden].</summary>
    public required LinearSlot Projection { get; init; }

    /// <summary>Of what the router sees, or null.</summary>
    public INorm? Norm { get; init; }

    /// <summary>Multiplies columns of what it sees, behind the norm, [hidden], or null.</summary>
    public Tensor? ColumnScale { get; init; }

    /// <summary>Multiplies what it sees.</summary>
    public float InputFactor { get; init; } = 1;

    /// <summary>How logits become a choice.</summary>
    public required Routing Routing { get; init; }

    /// <summary>What was chosen.</summary>
    public required RouterChoice Choice { get; init; }

    /// <summary>What it leaves on a tape: logits, and its input normalised and scaled.</summary>
    public TapeNumbers OnTape =>
        new(Projection.OutFeatures + (((Norm is null ? 0L : 1) + (ColumnScale is null ? 0 : 2) + (InputFactor == 1 ? 0 : 1)) * Projection.InFeatures), 0);

    /// <summary>Names what reads its input.</summary>
    public void AddReaders(InputReaders readers)
    {
        if (Norm is not null) readers.Refuse("the router normalises the same input by itself");
        if (ColumnScale is null) readers.Add(Projection);
        else readers.Add(ColumnScale);
    }

    /// <summary>Chooses for every row of <paramref name="x"/> [rows, hidden].</summary>
    /// <returns>Experts [rows * chosen], and their weights [rows * chosen, 1].</returns>
    public (int[] Chosen, Variable Weights) Apply(Tape tape, Variable x)
    {
        if (Norm is not null) x = Norm.Apply(tape, x);
        if (ColumnScale is not null) x = tape.ScaleColumns(x, ColumnScale);
        if (InputFactor != 1) x = tape.Scale(x, InputFactor);
        Variable logits = Projection.Apply(tape, x);
        (int[] chosen, Variable weights) = tape.Route(Routing, logits, Choice.Given);
        Choice.Note(chosen, Routing.Experts);
        return (chosen, weights);
    }
}
