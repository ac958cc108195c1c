namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>
/// How far the distribution over an item's choices, the softmax of their log-likelihoods, is from the reference's. Unlike a right answer it also changes where both answer alike.
/// </summary>
/// <param name="Name">The figure's name.</param>
/// <param name="Of">From the natural log-probabilities of the choices, the model's and the reference's, and the right choice to the item's number.</param>
/// <param name="Reference">What the reference itself has, from its log-probabilities and the right choice.</param>
internal sealed record ChoiceFigure(string Name, Func<double[], double[], int, double> Of, Func<double[], int, double> Reference)
{
    /// <summary>Name of the mean KL divergence, nats: reference first, as on texts.</summary>
    public const string Divergence = "choice_kl";

    /// <summary>Name of the mean difference of the right choice's log-probability, nats.</summary>
    public const string RightChoice = "right_choice_log_prob";

    /// <summary>All figures.</summary>
    public static IReadOnlyList<ChoiceFigure> All { get; } =
    [
        new(Divergence, (own, other, _) => KlDivergence(other, own), (_, _) => 0),
        new(RightChoice, (own, other, gold) => own[gold] - other[gold], (other, gold) => other[gold]),
    ];

    /// <summary>
    /// The figure over items that both were asked; null where no item has it. An item whose number is not finite, as where the model gives a choice no probability at all, or whose
    /// log-likelihoods are not those of the same choices, is left out and counted.
    /// </summary>
    public PairedMetric? Over(IReadOnlyCollection<(ItemRecord Own, ItemRecord Other)> pairs)
    {
        var strata = new Dictionary<string, List<double>>(StringComparer.Ordinal);
        double reference = 0;
        int items = 0, choices = 0;
        foreach ((ItemRecord own, ItemRecord other) in pairs)
        {
            if (own.Gold is not { } gold) continue;
            choices++;
            if (own.LogLikelihoods.Count != other.LogLikelihoods.Count || LogProbabilities(own) is not { } mine || LogProbabilities(other) is not { } its) continue;
            double value = Of(mine, its, gold);
            if (!double.IsFinite(value)) continue;
            if (!strata.TryGetValue(own.Subject ?? "", out List<double>? part)) strata[own.Subject ?? ""] = part = [];
            part.Add(value);
            reference += Reference(its, gold);
            items++;
        }
        if (items == 0) return null;
        Metric mean = strata.Count == 1 ? Metric.Mean(strata.Values.First()) : Metric.Pooled(strata.Values);
        return new PairedMetric(mean.Value, mean.StandardError, reference / items, items) { LeftOut = choices > items ? choices - items : null };
    }

    /// <summary>Log-softmax of the choices' log-likelihoods; null where they are no distribution: one is not a number or positive infinity, or all are impossible.</summary>
    private static double[]? LogProbabilities(ItemRecord record)
    {
        double most = double.NegativeInfinity, sum = 0;
        foreach (double value in record.LogLikelihoods)
        {
            if (double.IsNaN(value)) return null;
            most = Math.Max(most, value);
        }
        if (!double.IsFinite(most)) return null;
        foreach (double value in record.LogLikelihoods) sum += Math.Exp(value - most);
        double normalizer = most + Math.Log(sum);
        return [.. record.LogLikelihoods.Select(value => value - normalizer)];
    }

    // A choice that has no probability adds none; rounding must not make the sum negative.
    private static double KlDivergence(double[] expected, double[] actual)
    {
        double sum = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double probability = Math.Exp(expected[i]);
            if (probability > 0) sum += probability * (expected[i] - actual[i]);
        }
        return Math.Max(0, sum);
    }
}
