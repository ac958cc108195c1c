using System.Text.Json;
using System.Text.Json.Serialization;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Scoring;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>What was found about one item, as it is saved: one JSON object a line. Every figure is made of these alone.</summary>
public sealed record ItemRecord
{
    /// <summary>The task.</summary>
    public required string Task { get; init; }

    /// <summary>MMLU's subject.</summary>
    public string? Subject { get; init; }

    /// <summary>Number of the item in its file, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Whose conventions: v0.4, v0.3 or hendrycks; null in files of versions that did not say so.</summary>
    public string? Harness { get; init; }

    /// <summary>What else was asked for that changes figures: chat template, shots, begin-of-text token; null for the usual.</summary>
    public string? Options { get; init; }

    /// <summary>SHA-256 of the question, its choices and the right one, lower-case hexadecimal; null in files of versions that did not keep it.</summary>
    public string? Data { get; init; }

    /// <summary>Natural log-likelihood of every choice; of the four letters by the Hendrycks scoring. Empty after an error.</summary>
    public IReadOnlyList<double> LogLikelihoods { get; init; } = [];

    /// <summary>Index of the right choice; null where there are no choices.</summary>
    public int? Gold { get; init; }

    /// <summary>The first choice with the largest log-likelihood.</summary>
    public int? Prediction { get; init; }

    /// <summary>The first choice with the largest log-likelihood per character, where the task reports it.</summary>
    public int? PredictionNormalized { get; init; }

    /// <summary>The letter's index when letters are scored with a space in front; Hendrycks scoring only.</summary>
    public int? PredictionSpaced { get; init; }

    /// <summary>Whether the text was the most probable continuation, where there are no choices.</summary>
    public bool? Greedy { get; init; }

    /// <summary>Tokens cut from the left because the model has no positions for them.</summary>
    public int? CutTokens { get; init; }

    /// <summary>Solved questions left out because the prompt was too long.</summary>
    public int? DroppedShots { get; init; }

    /// <summary>Why the item could not be asked.</summary>
    public string? Error { get; init; }

    /// <summary>The item as people name it.</summary>
    [JsonIgnore]
    public string Place => Subject is null ? $"{Task} item {Index}" : $"{Task} {Subject} item {Index}";

    /// <summary>The record as one line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, ItemRecordJson.Default.ItemRecord);

    /// <summary>What scores say about an item.</summary>
    internal static ItemRecord Of(EncodedItem encoded, IReadOnlyList<TokenScore> scores)
    {
        TaskItem item = encoded.Item;
        var record = new ItemRecord
        {
            Task = item.Task,
            Subject = item.Subject,
            Index = item.Index,
            Gold = item.Question.Gold,
            Data = item.Hash(),
            Error = encoded.Error,
            CutTokens = encoded.CutTokens > 0 ? encoded.CutTokens : null,
            DroppedShots = encoded.DroppedShots > 0 ? encoded.DroppedShots : null,
        };
        if (encoded.Error is not null) return record;
        int choices = item.Question.Requests.Count;
        double[] all = [.. scores.Select(score => score.LogLikelihood)], likelihoods = all[..choices];
        record = record with { LogLikelihoods = likelihoods };
        if (item.Question.Gold is null) return record with { Greedy = scores[0].Greedy };
        return record with
        {
            Prediction = FirstLargest(likelihoods),
            PredictionNormalized = item.Question.Lengths is { } lengths ? FirstLargest([.. likelihoods.Select((value, i) => value / lengths[i])]) : null,
            PredictionSpaced = all.Length > choices ? FirstLargest(all[choices..]) : null,
        };
    }

    /// <summary>Index of the first largest value.</summary>
    internal static int FirstLargest(IReadOnlyList<double> values)
    {
        int largest = 0;
        for (int i = 1; i < values.Count; i++)
        {
            if (values[i] > values[largest]) largest = i;
        }
        return largest;
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(ItemRecord))]
internal sealed partial class ItemRecordJson : JsonSerializerContext;
