using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.FeedForward;

/// <summary>
/// y = sum over the experts e of a token of w_e expert_e(x), plus what all tokens share. First all experts compute what their down projections see, then these are
/// applied, so that a forward pass can end between the two.
/// </summary>
internal sealed record Experts : IFeedForward
{
    /// <summary>Chooses.</summary>
    public required Router Router { get; init; }

    /// <summary>The experts.</summary>
    public required IReadOnlyList<IExpert> Items { get; init; }

    /// <summary>Whether the weight multiplies an expert's input instead of its output.</summary>
    public bool WeighsInput { get; init; }

    /// <summary>What every token passes besides, or null.</summary>
    public IFeedForward? Shared { get; init; }

    /// <summary>A sigmoid gate behind the shared part, [1, hidden], or null for none.</summary>
    public LinearSlot? SharedGate { get; init; }

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            long hidden = Items[0].Down.OutFeatures;
            // Of each of a token's experts its input, its output, and that weighed.
            TapeNumbers routed = Router.Routing.Chosen * (Items[0].OnTape + new TapeNumbers((3 * hidden) + 2, 0)) + Router.OnTape;
            if (Shared is null) return routed;
            // What all tokens pass gives as much as the experts do, perhaps behind a gate, and the sum.
            return routed + Shared.OnTape + new TapeNumbers(((SharedGate is null ? 2 : 3) * hidden) + 2, 0);
        }
    }

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x) => Apply(tape, x, x);

    /// <summary>As <see cref="Apply(Tape, Variable)"/> where the router sees something else than the experts, [rows, hidden].</summary>
    public Variable Apply(Tape tape, Variable x, Variable seenByRouter)
    {
        (int[] chosen, Variable weights) = Router.Apply(tape, seenByRouter);
        int perToken = chosen.Length / x.Value.Rows;
        int[]? windows = tape.Windows;
        var work = new List<(IExpert Expert, int[] Rows, Variable Weights, Variable Hidden)>();
        for (int e = 0; e < Items.Count; e++)
        {
            if (Items[e].IsIdle) continue;
            int[] places = [.. Enumerable.Range(0, chosen.Length).Where(place => chosen[place] == e)];
            if (places.Length == 0) continue;
            int[] rows = Array.ConvertAll(places, place => place / perToken);
            Variable own = tape.PickRows(weights, places), input = tape.PickRows(x, rows);
            if (WeighsInput) input = tape.ScaleRows(input, own);
            Within(tape, windows, rows, () => work.Add((Items[e], rows, own, Items[e].Activate(tape, input))));
        }
        var parts = new List<(Variable X, int[] Rows)>();
        foreach ((IExpert expert, int[] rows, Variable own, Variable hidden) in work)
        {
            Variable y = hidden;
            Within(tape, windows, rows, () => y = expert.Down.Apply(tape, hidden));
            parts.Add((WeighsInput ? y : tape.ScaleRows(y, own), rows));
        }
        Variable sum = tape.SumRows(x.Value.Rows, x.Value.Columns, parts);
        if (Shared is null) return sum;
        Variable shared = Shared.Apply(tape, x);
        if (SharedGate is not null) shared = tape.ScaleRows(shared, tape.Activate(Activation.Sigmoid, SharedGate.Apply(tape, x)));
        return tape.Add(sum, shared);
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers) => AddReaders(readers, withRouter: true);

    /// <summary>As <see cref="AddReaders(InputReaders)"/> where the router may see something else than the experts.</summary>
    public void AddReaders(InputReaders readers, bool withRouter)
    {
        if (withRouter) Router.AddReaders(readers);
        foreach (IExpert expert in Items) expert.AddReaders(readers);
        Shared?.AddReaders(readers);
        readers.Add(SharedGate);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        foreach (IExpert expert in Items) expert.AddFolds(folds);
        Shared?.AddFolds(folds);
    }

    // Of every window an expert has the rows that came to it.
    private static void Within(Tape tape, int[]? windows, int[] rows, Action action)
    {
        if (windows is not null) tape.Windows = [.. windows.Select(start => rows.Count(row => row < start))];
        action();
        tape.Windows = windows;
    }
}
