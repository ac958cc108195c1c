using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Tasks.Definitions;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>The figures of a task, or of a part of it. All are made of item records alone.</summary>
public sealed record TaskResult
{
    /// <summary>Items that count.</summary>
    public int Items { get; init; }

    /// <summary>Items left out because the tokenizer leaves nothing to score.</summary>
    public int Errors { get; init; }

    /// <summary>Items whose text was cut on the left to the model's positions.</summary>
    public int Cut { get; init; }

    /// <summary>Tokens that were cut from them.</summary>
    public long CutTokens { get; init; }

    /// <summary>Items that lost solved questions because the prompt was too long.</summary>
    public int WithDroppedShots { get; init; }

    /// <summary>Figures by the harness's names: acc, acc_norm, perplexity; acc_spaced for the Hendrycks letters with a space in front.</summary>
    public IReadOnlyDictionary<string, Metric> Metrics { get; init; } = new Dictionary<string, Metric>();

    /// <summary>Differences from the reference, by the same names; log_perplexity for the mean log-likelihood of texts, and choice_kl and right_choice_log_prob for the distributions over
    /// choices.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, PairedMetric>? Against { get; init; }

    /// <summary>MMLU's four groups.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, TaskResult>? Groups { get; init; }

    /// <summary>MMLU's subjects.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, TaskResult>? Subjects { get; init; }

    /// <summary>Seconds that the model took; null for a part.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Seconds { get; init; }

    /// <summary>The figure that published tables print: per character where the task reports it.</summary>
    internal string MainMetric => Metrics.ContainsKey(ItemMetric.Normalized) ? ItemMetric.Normalized : ItemMetric.Accuracy;

    /// <summary>Sums up the records of a task.</summary>
    /// <param name="records">All of one task.</param>
    /// <param name="harness">Whose groups of subjects.</param>
    /// <param name="against">The reference's records; null without.</param>
    internal static TaskResult Of(IReadOnlyCollection<ItemRecord> records, Harness harness, Comparison? against)
    {
        TaskResult whole = OfPart(records, against);
        if (records.All(record => record.Subject is null)) return whole;
        return whole with
        {
            Groups = Parts(record => MmluSubjects.GroupOf(record.Subject!, harness)),
            Subjects = Parts(record => record.Subject),
        };

        SortedDictionary<string, TaskResult> Parts(Func<ItemRecord, string?> key) => new(
            records.Where(record => key(record) is not null).GroupBy(record => key(record)!).ToDictionary(part => part.Key, part => OfPart([.. part], against)),
            StringComparer.Ordinal);
    }

    private static TaskResult OfPart(IReadOnlyCollection<ItemRecord> records, Comparison? against)
    {
        ItemRecord[] asked = [.. records.Where(record => record.Error is null)];
        var metrics = new Dictionary<string, Metric>();
        foreach (ItemMetric metric in ItemMetric.All)
        {
            if (asked.Length == 0 || metric.Of(asked[0]) is null) continue;
            double[][] strata = [.. asked.GroupBy(record => record.Subject).Select(part => part.Select(record => metric.Of(record)!.Value).ToArray())];
            metrics[metric.Name] = metric.IsLogLikelihood ? Metric.Perplexity(strata[0]) : strata.Length == 1 ? Metric.Mean(strata[0]) : Metric.Pooled(strata);
        }
        return new TaskResult
        {
            Items = asked.Length,
            Errors = records.Count - asked.Length,
            Cut = records.Count(record => record.CutTokens > 0),
            CutTokens = records.Sum(record => (long)(record.CutTokens ?? 0)),
            WithDroppedShots = records.Count(record => record.DroppedShots > 0),
            Metrics = metrics,
            Against = against?.Of(asked),
        };
    }
}
