namespace LowRankQuant.Numerics.Autograd;

/// <summary>What a router makes of its logits before it chooses.</summary>
public enum RouterScore
{
    /// <summary>softmax over all experts.</summary>
    Softmax,

    /// <summary>1 / (1 + e^-z), each expert by itself.</summary>
    Sigmoid,

    /// <summary>Sparsemixer (Phi-3.5-MoE): two experts, each weighed by a softmax over those near the best left.</summary>
    SparseMixer,
}

/// <summary>
/// How a router chooses experts for a token from its logits z, and weighs them. With scores s (softmax or sigmoid of z) and corrections c:
/// <code>
/// choice    the k largest s + c; with groups only in the kept ones, a group counting its largest, or the sum of its two largest, s + c
/// weight    w_e = s_e, without c; divided by (sum of w^p)^(1/p) when normalized; times the factor, times the expert's own scale
/// </code>
/// The choice has no gradient, the weights have. Sparsemixer drops, before each of its two softmaxes, the experts with (m - z) / max(|z|, m) above a
/// threshold, m the largest logit left; its weights are those softmaxes at the two largest.
/// </summary>
public sealed record Routing
{
    /// <summary>Number of experts.</summary>
    public required int Experts { get; init; }

    /// <summary>Experts of a token; two with <see cref="RouterScore.SparseMixer"/>.</summary>
    public required int Chosen { get; init; }

    /// <summary>How logits become scores.</summary>
    public RouterScore Score { get; init; }

    /// <summary>c, [experts], added for the choice alone; null for none.</summary>
    public float[]? Correction { get; init; }

    /// <summary>Runs of experts of equal length that are chosen first; 1 for none.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Groups that are kept.</summary>
    public int KeptGroups { get; init; } = 1;

    /// <summary>Best experts of a group whose scores are added up to that of the group: 2 (DeepSeek-V3) or 1 (DeepSeek-V2).</summary>
    public int GroupBest { get; init; } = 2;

    /// <summary>p of the norm that weights are divided by; null for none, 1 for their sum.</summary>
    public double? Norm { get; init; }

    /// <summary>Added to the norm.</summary>
    public double NormEpsilon { get; init; }

    /// <summary>The norm is at least this.</summary>
    public double NormFloor { get; init; }

    /// <summary>Multiplies all weights.</summary>
    public float Factor { get; init; } = 1;

    /// <summary>Multiplies the weight of each expert, [experts]; null for ones.</summary>
    public float[]? ExpertScale { get; init; }

    /// <summary>Threshold of sparsemixer: twice the jitter noise.</summary>
    public float Threshold { get; init; }

    /// <summary>Looks whether the numbers fit each other.</summary>
    /// <exception cref="ArgumentException">They do not.</exception>
    public void Check()
    {
        bool sound = Experts > 0 && Chosen > 0 && Chosen <= Experts && Groups > 0 && Experts % Groups == 0 && KeptGroups > 0 && KeptGroups <= Groups
            && GroupBest is 1 or 2 && Chosen <= Experts / Groups * KeptGroups && (Score != RouterScore.SparseMixer || Chosen == 2);
        if (!sound) throw new ArgumentException($"{Chosen} of {Experts} experts in {KeptGroups} of {Groups} groups ({Score}) cannot be chosen.");
        if (Correction is { } c && c.Length != Experts) throw new ArgumentException($"{c.Length} corrections for {Experts} experts.");
        if (ExpertScale is { } s && s.Length != Experts) throw new ArgumentException($"{s.Length} scales for {Experts} experts.");
    }

    /// <summary>Chooses experts for one token, the best first (of equal ones the first).</summary>
    /// <param name="logits">z, [experts].</param>
    /// <param name="chosen">[chosen], their numbers.</param>
    /// <param name="weights">[chosen], their weights.</param>
    public void Forward(ReadOnlySpan<double> logits, Span<int> chosen, Span<double> weights)
    {
        if (Score == RouterScore.SparseMixer)
        {
            Span<double> share = stackalloc double[Experts];
            for (int i = 0; i < 2; i++) weights[i] = Mix(logits, chosen, i, share) * Factor * ScaleOf(chosen[i]);
            return;
        }
        Span<double> scores = stackalloc double[Experts];
        Scores(logits, scores);
        Choose(scores, chosen);
        double norm = NormOf(scores, chosen);
        for (int i = 0; i < Chosen; i++) weights[i] = scores[chosen[i]] / norm * Factor * ScaleOf(chosen[i]);
    }

    /// <summary>The weights of experts that are given, such as those that another run chose.</summary>
    /// <param name="logits">z, [experts].</param>
    /// <param name="chosen">[chosen], their numbers.</param>
    /// <param name="weights">[chosen], their weights.</param>
    public void Weigh(ReadOnlySpan<double> logits, ReadOnlySpan<int> chosen, Span<double> weights)
    {
        Span<double> scores = stackalloc double[Experts];
        if (Score == RouterScore.SparseMixer)
        {
            Span<int> own = stackalloc int[2];
            for (int i = 0; i < 2; i++)
            {
                Mix(logits, own, i, scores);
                weights[i] = scores[chosen[i]] * Factor * ScaleOf(chosen[i]);
            }
            return;
        }
        Scores(logits, scores);
        double norm = NormOf(scores, chosen);
        for (int i = 0; i < Chosen; i++) weights[i] = scores[chosen[i]] / norm * Factor * ScaleOf(chosen[i]);
    }

    /// <summary>Gradient of <see cref="Forward"/> with the choice as it was.</summary>
    /// <param name="logits">z, [experts].</param>
    /// <param name="chosen">[chosen].</param>
    /// <param name="dWeights">dloss/dweights, [chosen].</param>
    /// <param name="dLogits">dloss/dz, [experts]; overwritten.</param>
    public void Backward(ReadOnlySpan<double> logits, ReadOnlySpan<int> chosen, ReadOnlySpan<double> dWeights, Span<double> dLogits)
    {
        dLogits.Clear();
        Span<double> scores = stackalloc double[Experts];
        if (Score == RouterScore.SparseMixer)
        {
            Span<int> again = stackalloc int[2];
            for (int i = 0; i < 2; i++)
            {
                double weight = Mix(logits, again, i, scores), d = dWeights[i] * Factor * ScaleOf(chosen[i]);
                for (int e = 0; e < Experts; e++) dLogits[e] += d * weight * ((e == chosen[i] ? 1 : 0) - scores[e]);
            }
            return;
        }
        Scores(logits, scores);
        double norm = NormOf(scores, chosen), along = 0;
        Span<double> dScores = stackalloc double[Experts];
        dScores.Clear();
        for (int i = 0; i < Chosen; i++)
        {
            double d = dWeights[i] * Factor * ScaleOf(chosen[i]);
            dScores[chosen[i]] = d / norm;
            along += d * scores[chosen[i]];
        }
        if (Norm is { } p && !AtFloor(scores, chosen))
        {
            // d(s / n) = ds / n - s dn / n^2, dn/ds = (s / sum of powers^(1/p))^(p - 1).
            double powers = Math.Pow(PowerSum(scores, chosen, p), 1 / p);
            foreach (int e in chosen) dScores[e] -= along / (norm * norm) * Math.Pow(scores[e] / powers, p - 1);
        }
        if (Score == RouterScore.Sigmoid)
        {
            foreach (int e in chosen) dLogits[e] = dScores[e] * scores[e] * (1 - scores[e]);
            return;
        }
        double mean = 0;
        for (int e = 0; e < Experts; e++) mean += dScores[e] * scores[e];
        for (int e = 0; e < Experts; e++) dLogits[e] = scores[e] * (dScores[e] - mean);
    }

    private double ScaleOf(int expert) => ExpertScale is { } scale ? scale[expert] : 1;

    private void Scores(ReadOnlySpan<double> logits, Span<double> scores)
    {
        if (Score == RouterScore.Sigmoid)
        {
            for (int e = 0; e < Experts; e++) scores[e] = 1 / (1 + Math.Exp(-logits[e]));
            return;
        }
        double largest = double.NegativeInfinity, sum = 0;
        foreach (double logit in logits) largest = Math.Max(largest, logit);
        for (int e = 0; e < Experts; e++) sum += scores[e] = Math.Exp(logits[e] - largest);
        for (int e = 0; e < Experts; e++) scores[e] /= sum;
    }

    private void Choose(ReadOnlySpan<double> scores, Span<int> chosen)
    {
        Span<double> choice = stackalloc double[Experts];
        for (int e = 0; e < Experts; e++) choice[e] = scores[e] + (Correction is { } c ? c[e] : 0);
        if (Groups > 1) DropGroups(choice);
        for (int i = 0; i < Chosen; i++)
        {
            chosen[i] = Largest(choice);
            choice[chosen[i]] = double.NegativeInfinity;
        }
    }

    private void DropGroups(Span<double> choice)
    {
        int size = Experts / Groups;
        Span<double> best = stackalloc double[Groups];
        Span<bool> kept = stackalloc bool[Groups];
        for (int g = 0; g < Groups; g++)
        {
            double first = double.NegativeInfinity, second = double.NegativeInfinity;
            foreach (double value in choice.Slice(g * size, size))
            {
                if (value > first) (first, second) = (value, first);
                else if (value > second) second = value;
            }
            best[g] = GroupBest == 2 && size > 1 ? first + second : first;
        }
        kept.Clear();
        for (int i = 0; i < KeptGroups; i++)
        {
            int g = Largest(best);
            kept[g] = true;
            best[g] = double.NegativeInfinity;
        }
        for (int e = 0; e < Experts; e++)
        {
            if (!kept[e / size]) choice[e] = double.NegativeInfinity;
        }
    }

    private double NormOf(ReadOnlySpan<double> scores, ReadOnlySpan<int> chosen) =>
        Norm is { } p ? Math.Max(Math.Pow(PowerSum(scores, chosen, p), 1 / p) + NormEpsilon, NormFloor) : 1;

    private bool AtFloor(ReadOnlySpan<double> scores, ReadOnlySpan<int> chosen) =>
        Math.Pow(PowerSum(scores, chosen, Norm!.Value), 1 / Norm.Value) + NormEpsilon < NormFloor;

    private static double PowerSum(ReadOnlySpan<double> scores, ReadOnlySpan<int> chosen, double p)
    {
        double sum = 0;
        foreach (int e in chosen) sum += Math.Pow(scores[e], p);
        return sum;
    }

    /// <summary>The expert of step i of sparsemixer, its weight, and the softmax it comes from.</summary>
    private double Mix(ReadOnlySpan<double> logits, Span<int> chosen, int i, Span<double> share)
    {
        int best = -1;
        for (int e = 0; e < Experts; e++)
        {
            if ((i == 0 || e != chosen[0]) && (best < 0 || logits[e] > logits[best])) best = e;
        }
        double m = logits[best], sum = 0;
        for (int e = 0; e < Experts; e++)
        {
            bool dropped = (i == 1 && e == chosen[0]) || (m - logits[e]) / Math.Max(Math.Abs(logits[e]), m) > Threshold;
            sum += share[e] = dropped ? 0 : Math.Exp(logits[e] - m);
        }
        for (int e = 0; e < Experts; e++) share[e] /= sum;
        chosen[i] = best;
        return share[best];
    }

    private static int Largest(ReadOnlySpan<double> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[best]) best = i;
        }
        return best;
    }
}

/// <summary>Experts chosen by a router and their weights.</summary>
public static class RouteOperation
{
    /// <summary>Chooses experts for every row; see <see cref="Routing"/>. Computed in double precision.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="routing">How.</param>
    /// <param name="logits">[rows, experts].</param>
    /// <param name="given">Experts that are taken whatever the logits say, [rows * chosen]; null to choose.</param>
    /// <returns>Numbers of the chosen experts, [rows * chosen], and their weights as a column, [rows * chosen, 1].</returns>
    public static (int[] Chosen, Variable Weights) Route(this Tape tape, Routing routing, Variable logits, int[]? given = null)
    {
        routing.Check();
        int rows = logits.Value.Rows, k = routing.Chosen, n = routing.Experts;
        if (logits.Value.Columns != n) throw new ArgumentException($"Logits {logits.Value} for {n} experts.", nameof(logits));
        double[] z = Array.ConvertAll(logits.Value.ToArray(), value => (double)value), weights = new double[rows * k];
        var chosen = new int[rows * k];
        if (given is not null && given.Length != chosen.Length) throw new ArgumentException($"{given.Length} given experts for {rows} rows of {k}.", nameof(given));
        given?.CopyTo(chosen, 0);
        for (int r = 0; r < rows; r++)
        {
            if (given is null) routing.Forward(z.AsSpan(r * n, n), chosen.AsSpan(r * k, k), weights.AsSpan(r * k, k));
            else routing.Weigh(z.AsSpan(r * n, n), chosen.AsSpan(r * k, k), weights.AsSpan(r * k, k));
        }
        Tensor y = tape.Rent(rows * k, 1);
        y.CopyFrom(Array.ConvertAll(weights, value => (float)value));
        Variable output = tape.Output(y, logits.RequiresGradient);
        tape.Record(output, () =>
        {
            double[] d = Array.ConvertAll(output.Gradient!.ToArray(), value => (double)value), dz = new double[z.Length];
            for (int r = 0; r < rows; r++) routing.Backward(z.AsSpan(r * n, n), chosen.AsSpan(r * k, k), d.AsSpan(r * k, k), dz.AsSpan(r * n, n));
            GradientSink sink = GradientSink.For(tape, logits);
            sink.Target.CopyFrom(Array.ConvertAll(dz, value => (float)value));
            sink.Finish();
        });
        return (chosen, output);
    }
}
