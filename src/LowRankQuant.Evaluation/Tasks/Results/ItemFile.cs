using System.Text.Json;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation.Tasks.Results;

/// <summary>Reads files of item records.</summary>
internal static class ItemFile
{
    private const int LongestLine = 1 << 20;

    /// <summary>All records of a file, and whose conventions they were scored by.</summary>
    /// <param name="path">The file.</param>
    /// <param name="asked">The conventions that the user names; null for none.</param>
    /// <param name="notes">Is told what the file does not say.</param>
    /// <returns>The records, each with its conventions.</returns>
    /// <exception cref="EvaluationException">The file is unsound, mixes conventions, says others than asked for, or none and nobody did.</exception>
    public static (IReadOnlyList<ItemRecord> Records, Harness Harness) ReadKnown(string path, Harness? asked, List<string> notes)
    {
        IReadOnlyList<ItemRecord> records = Read(path);
        string[] names = [.. records.Select(record => record.Harness ?? "").Distinct()];
        if (names.Length > 1) throw new EvaluationException($"'{path}' mixes items of the conventions {string.Join(", ", names.Select(name => name.Length == 0 ? "unknown" : name))}; keep those of one.");
        string known = string.Join(", ", HarnessNames.All.Select(pair => pair.Key));
        if (names[0].Length == 0)
        {
            if (asked is not { } told) throw new EvaluationException($"'{path}' does not say by whose conventions its items were scored, as files of older versions; say so by `harness` ({known}).");
            notes.Add($"'{path}' keeps neither conventions nor data hash; {HarnessNames.Of(told)} is what `harness` says, and that the questions are the same cannot be checked.");
            return ([.. records.Select(record => record with { Harness = HarnessNames.Of(told) })], told);
        }
        Harness? own = HarnessNames.All.Where(pair => pair.Key == names[0]).Select(pair => (Harness?)pair.Value).FirstOrDefault();
        if (own is not { } harness) throw new EvaluationException($"'{path}' names the conventions '{names[0]}', which are not known: {known}.");
        if (asked is { } other && other != harness) throw new EvaluationException($"`harness` {HarnessNames.Of(other)}: the items of '{path}' were scored by {names[0]}; leave the option out.");
        return (records, harness);
    }

    /// <summary>All records of a file.</summary>
    /// <exception cref="EvaluationException">The file is absent or a line is no item.</exception>
    public static IReadOnlyList<ItemRecord> Read(string path)
    {
        var records = new List<ItemRecord>();
        var figures = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            using var reader = new SourceReader(path);
            for (int number = 1; reader.ReadLine() is { } line; number++)
            {
                if (string.IsNullOrWhiteSpace(line)) continue;
                string place = $"'{path}', line {number}";
                ItemRecord record = Parse(line, place);
                if (record.Error is null)
                {
                    // All items of a task have the same figures, of which means are taken.
                    string own = string.Join(", ", ItemMetric.All.Where(metric => metric.Of(record) is not null).Select(metric => metric.Name));
                    if (!figures.TryAdd(record.Task, own) && figures[record.Task] != own)
                        throw new EvaluationException($"{place}: {record.Place} has the figures {own} and the task's first item {figures[record.Task]}; the file is not as `items` wrote it.");
                }
                records.Add(record);
            }
        }
        catch (TextSourceException failure)
        {
            throw new EvaluationException($"{failure.Message} Name a file that `items` wrote.", failure);
        }
        return records.Count > 0 ? records : throw new EvaluationException($"'{path}' holds no items.");
    }

    /// <summary>The record of a line.</summary>
    /// <exception cref="EvaluationException">It is none.</exception>
    public static ItemRecord Parse(string line, string place)
    {
        if (line.Length > LongestLine) throw new EvaluationException($"{place} has {line.Length} characters; no item is that long.");
        int replaced = 0;
        using JsonDocument json = JsonText.Parse(line, ref replaced, out JsonFault? fault)
            ?? throw new EvaluationException($"{place}, column {fault!.Value.Column}: is no item of `items`: not sound JSON: {fault.Value.What}.");
        ItemRecord? record;
        try
        {
            record = json.Deserialize(ItemRecordJson.Default.ItemRecord);
        }
        catch (JsonException failure)
        {
            string key = failure.Path is { Length: > 2 } path ? $"its key '{path[2..]}' is of another type" : "keys are missing, or it is no object";
            throw new EvaluationException($"{place} is no item of `items`: {key}; name a file that `items` wrote.", failure);
        }
        if (record is null || Problem(record) is not null) throw new EvaluationException($"{place} is no item of `items`: {(record is null ? "it is null" : Problem(record))}; name a file that `items` wrote.");
        return record;
    }

    private static string? Problem(ItemRecord record)
    {
        if (record.Task is not { Length: > 0 }) return "'task' is empty";
        if (record.Index < 0) return $"'index' is {record.Index}";
        if (record.LogLikelihoods is not { } likelihoods) return "'logLikelihoods' is null";
        if (record.Error is not null) return null;
        if (likelihoods.Count == 0) return "'logLikelihoods' is empty";
        if (record.Gold is not { } gold) return record.Greedy is null ? "'gold' or 'greedy' is missing" : null;
        if (gold < 0 || gold >= likelihoods.Count) return $"'gold' is {gold} of {likelihoods.Count} choices";
        return record.Prediction is { } choice && choice >= 0 && choice < likelihoods.Count ? null : "'prediction' is missing or is no choice";
    }
}
