namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>Items of a reference, found by task, subject and number, to be compared item by item.</summary>
internal sealed class Comparison
{
    private readonly Dictionary<(string, string?, int), ItemRecord> _records = [];
    private readonly string _source;

    /// <summary>Takes the reference's items.</summary>
    /// <param name="records">The items.</param>
    /// <param name="source">Where they come from, for messages.</param>
    /// <exception cref="EvaluationException">An item is there twice.</exception>
    public Comparison(IEnumerable<ItemRecord> records, string source)
    {
        _source = source;
        foreach (ItemRecord record in records)
        {
            if (!_records.TryAdd(Key(record), record)) throw new EvaluationException($"{source} holds {record.Place} twice.");
        }
    }

    /// <summary>Looks whether the reference has the same question under the same number, asked in the same way.</summary>
    /// <exception cref="EvaluationException">It lacks the item, has another one, or was asked by other conventions.</exception>
    public void Check(TaskItem item, string? harness = null, string? options = null) => Check(new ItemRecord
    {
        Task = item.Task,
        Subject = item.Subject,
        Index = item.Index,
        Gold = item.Question.Gold,
        Data = item.Hash(),
        Harness = harness,
        Options = options,
    });

    /// <summary>The same for an item that was asked already.</summary>
    /// <exception cref="EvaluationException">The reference lacks the item, has another one, or was asked by other conventions.</exception>
    public void Check(ItemRecord item)
    {
        if (!_records.TryGetValue(Key(item), out ItemRecord? other))
            throw new EvaluationException($"{_source} lacks {item.Place}; it must hold every item that is asked (the same tasks, `limit` and `offset`).");
        if (item.Harness is not null && other.Harness is not null)
        {
            if (other.Harness != item.Harness)
            {
                throw new EvaluationException($"{_source} was scored by the conventions {other.Harness} and these items by {item.Harness}; figures of different conventions " +
                    "cannot be compared. Score both by one `harness`.");
            }
            if (other.Options != item.Options)
            {
                throw new EvaluationException($"{_source} was asked with {other.Options ?? "the usual options"} and these items with {item.Options ?? "the usual options"}; " +
                    "their figures cannot be compared. Ask both in one way (`apply_chat_template`, `shots`, `add_bos`).");
            }
        }
        if (other.Gold != item.Gold) throw new EvaluationException($"{_source} has another right choice for {item.Place}; it was made from other data.");
        if (item.Data is not null && other.Data is not null && other.Data != item.Data)
            throw new EvaluationException($"{_source} has another question as {item.Place} (its data hash differs); it was made from other data, or by a recipe with other texts.");
    }

    /// <summary>Differences over the items that could be asked of both.</summary>
    public IReadOnlyDictionary<string, PairedMetric> Of(IReadOnlyCollection<ItemRecord> asked)
    {
        var differences = new Dictionary<string, PairedMetric>();
        (ItemRecord Own, ItemRecord Other)[] pairs = [.. asked.Select(own => (own, _records[Key(own)])).Where(pair => pair.Item2.Error is null)];
        if (pairs.Length == 0) return differences;
        foreach (ItemMetric metric in ItemMetric.All)
        {
            if (metric.Of(pairs[0].Own) is null || metric.Of(pairs[0].Other) is null) continue;
            double[] own = [.. pairs.Select(pair => metric.Of(pair.Own)!.Value)], other = [.. pairs.Select(pair => metric.Of(pair.Other)!.Value)];
            differences[metric.DifferenceName] = metric.IsLogLikelihood ? OfLikelihoods(own, other) : OfAccuracy(pairs, own, other);
        }
        foreach (ChoiceFigure figure in ChoiceFigure.All)
        {
            if (figure.Over(pairs) is { } over) differences[figure.Name] = over;
        }
        return differences;
    }

    /// <summary>Of log-likelihoods the difference of mean losses: ln(perplexity / reference perplexity).</summary>
    private static PairedMetric OfLikelihoods(double[] own, double[] other)
    {
        Metric difference = Metric.Mean([.. own.Zip(other, (mine, its) => its - mine)]);
        return new PairedMetric(difference.Value, difference.StandardError, -other.Average(), own.Length);
    }

    private static PairedMetric OfAccuracy((ItemRecord Own, ItemRecord Other)[] pairs, double[] own, double[] other)
    {
        double[] differences = [.. own.Zip(other, (mine, its) => mine - its)];
        double[][] strata = [.. pairs.Zip(differences).GroupBy(pair => pair.First.Own.Subject).Select(part => part.Select(pair => pair.Second).ToArray())];
        Metric difference = strata.Length == 1 ? Metric.Mean(differences) : Metric.Pooled(strata);
        int better = differences.Count(value => value > 0), worse = differences.Count(value => value < 0);
        double reference = other.Average();
        return new PairedMetric(difference.Value, difference.StandardError, reference, own.Length)
        {
            Better = better,
            Worse = worse,
            PValue = PairedMetric.SignTest(better, worse),
            RecoveryPercent = reference > 0 ? 100 * own.Average() / reference : null,
        };
    }

    private static (string, string?, int) Key(ItemRecord record) => (record.Task, record.Subject, record.Index);
}
