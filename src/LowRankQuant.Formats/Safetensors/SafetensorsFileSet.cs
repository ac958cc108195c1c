using System.Globalization;
using System.Text.RegularExpressions;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>Which files of a folder are its checkpoint.</summary>
/// <param name="Files">Paths of the files, in order; empty where an index names them.</param>
/// <param name="Index">Path of the index; null without.</param>
internal sealed partial record SafetensorsFileSet(IReadOnlyList<string> Files, string? Index)
{
    private const string Extension = ".safetensors", IndexExtension = ".safetensors.index.json";

    /// <summary>
    /// Finds them: <c>model.safetensors</c>, as the common loaders do, else the index, else a complete set of numbered shards, else the only file there is.
    /// </summary>
    /// <exception cref="CheckpointFormatException">There is none (<c>missing-checkpoint</c>), a shard is missing (<c>missing-shard</c>), or several could be meant.</exception>
    public static SafetensorsFileSet Find(string folder)
    {
        string[] names = [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];
        string At(string name) => Path.Combine(folder, name);
        if (names.Contains(SafetensorsFolder.SingleFileName)) return new SafetensorsFileSet([At(SafetensorsFolder.SingleFileName)], null);
        string[] indices = [.. names.Where(name => name.EndsWith(IndexExtension, StringComparison.Ordinal))];
        if (indices.Contains(SafetensorsFolder.IndexFileName)) indices = [SafetensorsFolder.IndexFileName];
        if (indices.Length == 1) return new SafetensorsFileSet([], At(indices[0]));
        if (indices.Length > 1) throw Several(folder, indices);

        string[] files =
            [.. names.Where(name => name.EndsWith(Extension, StringComparison.Ordinal) && !name.StartsWith("adapter", StringComparison.Ordinal))];
        IGrouping<(string, string), Match>[] sets =
        [
            .. files.Select(name => ShardName().Match(name)).Where(match => match.Success).GroupBy(match => (match.Groups[1].Value, match.Groups[3].Value)),
        ];
        if (sets.Length == 1) return new SafetensorsFileSet([.. Complete(folder, sets[0]).Select(At)], null);
        if (sets.Length > 1 || files.Length > 1) throw Several(folder, files);
        if (files.Length == 1) return new SafetensorsFileSet([At(files[0])], null);
        throw new CheckpointFormatException(
            "missing-checkpoint", folder, null,
            $"the folder holds no safetensors file: neither {SafetensorsFolder.SingleFileName} nor {SafetensorsFolder.IndexFileName} with its shards; " +
            "download the weights into it.");
    }

    private static List<string> Complete(string folder, IGrouping<(string Stem, string Count), Match> set)
    {
        int count = int.Parse(set.Key.Count, CultureInfo.InvariantCulture);
        Dictionary<int, string> found = set.ToDictionary(match => int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture), match => match.Value);
        var files = new List<string>();
        for (int number = 1; number <= count; number++)
        {
            if (found.Remove(number, out string? file)) files.Add(file);
            else
            {
                string padded = number.ToString(CultureInfo.InvariantCulture).PadLeft(set.Key.Count.Length, '0');
                throw new CheckpointFormatException(
                    "missing-shard", folder, $"{set.Key.Stem}-{padded}-of-{set.Key.Count}{Extension}",
                    $"the folder lacks this shard; {set.Count()} of {count} are there. Download it.");
            }
        }
        return found.Count == 0 ? files : throw new CheckpointFormatException(
            "missing-shard", folder, found.Values.First(), $"a shard beyond the last of {count}; remove what does not belong to the model.");
    }

    private static CheckpointFormatException Several(string folder, string[] files) => new(
        "missing-checkpoint", folder, null,
        $"the folder holds {files.Length} files that could be the model ({string.Join(", ", files.Take(4))}{(files.Length > 4 ? ", ..." : "")}); " +
        $"keep one of them, or name it {SafetensorsFolder.SingleFileName}.");

    [GeneratedRegex(@"^(.+)-(\d{1,6})-of-(\d{1,6})\.safetensors$", RegexOptions.CultureInvariant)]
    private static partial Regex ShardName();
}
