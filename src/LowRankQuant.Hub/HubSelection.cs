using System.Text.RegularExpressions;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Hub;

/// <summary>Which files of a model's repository are the model: those that are read, and no others.</summary>
/// <param name="Files">Names of files.</param>
/// <param name="Index">The one among them that names further files, see <see cref="Shards"/>; null without.</param>
/// <param name="Gguf">The one that is opened where the model is a GGUF file; null for a folder.</param>
internal sealed partial record HubSelection(IReadOnlyList<string> Files, string? Index, string? Gguf)
{
    private const string Safetensors = ".safetensors", IndexEnding = ".safetensors.index.json", GgufEnding = ".gguf";
    private const int MostNamed = 12;

    // What is read beside the tensors, and what a result takes along.
    private static readonly string[] Beside =
    [
        "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template*",
        "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "quantize_config.json",
        "quant_config.json", "quantization_config.json", "hf_quant_config.json", "recipe.json", "report.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "USE_POLICY.md",
    ];

    private static readonly string[] BesideInFolders = ["additional_chat_templates/*.jinja", "adapter/*.safetensors", "adapter/adapter_config.json"];

    // Pickles run code when they are read; the others hold the same tensors again.
    private static readonly string[] Never = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.msgpack", "*.h5", "*.joblib", "*.npy", "*.npz"];

    /// <summary>Chooses the files of a model.</summary>
    /// <param name="names">What the repository has.</param>
    /// <param name="name">The repository, for messages.</param>
    /// <exception cref="HubException">There is no model that is read, or several could be meant.</exception>
    public static HubSelection Of(IReadOnlyList<string> names, HubName name)
    {
        string[] beside = [.. names.Where(file => HubPath.Matches(file, file.Contains('/', StringComparison.Ordinal) ? BesideInFolders : Beside) && !HubPath.Matches(file, Never))];
        string[] root = [.. names.Where(file => !file.Contains('/', StringComparison.Ordinal))];
        // The order in which a folder is read: one file, else an index, else whatever there is.
        if (root.Contains(SafetensorsFolder.SingleFileName)) return new HubSelection([.. beside, SafetensorsFolder.SingleFileName], null, null);
        string[] indices = [.. root.Where(file => file.EndsWith(IndexEnding, StringComparison.Ordinal))];
        if (indices.Contains(SafetensorsFolder.IndexFileName)) indices = [SafetensorsFolder.IndexFileName];
        if (indices.Length > 1) throw new HubException($"{name}: several indices could be meant: {Listed(indices)}; fetch the files of one into a folder of their own.");
        if (indices.Length == 1) return new HubSelection([.. beside, indices[0]], indices[0], null);
        string[] tensors = [.. root.Where(file => file.EndsWith(Safetensors, StringComparison.Ordinal))];
        string[] model = [.. tensors.Where(file => !file.StartsWith("adapter", StringComparison.Ordinal))];
        if (model.Length > 0) return new HubSelection([.. beside, .. model], null, null);
        if (tensors.Length > 0) return new HubSelection([.. beside, .. tensors, .. root.Where(file => file == "adapter_config.json")], null, null);
        return OfGguf(names, name);
    }

    /// <summary>A GGUF file with the parts that it is split into.</summary>
    /// <param name="file">The file, or its first part.</param>
    public static IReadOnlyList<string> Parts(string file)
    {
        if (Part().Match(file) is not { Success: true } match) return [file];
        int count = int.Parse(match.Groups[3].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
        return [.. Enumerable.Range(1, count).Select(number => $"{match.Groups[1].Value}-{number:D5}-of-{match.Groups[3].Value}{GgufEnding}")];
    }

    /// <summary>Files that an index names.</summary>
    /// <param name="file">The index on disk.</param>
    /// <param name="names">What the repository has.</param>
    /// <param name="name">The repository, for messages.</param>
    /// <exception cref="HubException">The repository lacks one.</exception>
    /// <exception cref="LowRankQuant.Formats.CheckpointFormatException">The index is unsound.</exception>
    public static IReadOnlyList<string> Shards(string file, IReadOnlyList<string> names, HubName name)
    {
        string[] shards = [.. SafetensorsIndex.Read(file).Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        string[] missing = [.. shards.Except(names, StringComparer.Ordinal)];
        return missing.Length == 0 ? shards : throw new HubException($"{name}: the index names {Listed(missing)}, which {(missing.Length == 1 ? "is" : "are")} not there.");
    }

    /// <summary>Chooses files by patterns; pickles are left out whatever the patterns say.</summary>
    /// <exception cref="HubException">Nothing matches.</exception>
    public static HubSelection Of(IReadOnlyList<string> names, HubName name, IReadOnlyList<string> patterns)
    {
        string[] files = [.. names.Where(file => HubPath.Matches(file, patterns) && !HubPath.Matches(file, Never))];
        return files.Length > 0 ? new HubSelection(files, null, null)
            : throw new HubException($"{name}: no file matches {string.Join(", ", patterns)} (files that run code when they are read, such as *.bin, left out); there are {Listed(names)}.");
    }

    private static HubSelection OfGguf(IReadOnlyList<string> names, HubName name)
    {
        string[] files = [.. names.Where(file => file.EndsWith(GgufEnding, StringComparison.OrdinalIgnoreCase) && Parts(file)[0] == file)];
        if (files.Length == 1) return new HubSelection(Parts(files[0]), null, files[0]);
        if (files.Length > 1) throw new HubException($"{name}: holds {files.Length} GGUF files; name the one that is meant, such as {name with { Path = files[0] }}: {Listed(files)}.");
        throw new HubException(names.Any(file => HubPath.Matches(file, Never))
            ? $"{name}: its tensors are in files that run code when they are read ({Listed([.. names.Where(file => HubPath.Matches(file, Never))])}), which are not fetched; look for a revision with safetensors, such as refs/pr/1."
            : $"{name}: holds no model: neither safetensors nor GGUF files; there are {Listed(names)}.");
    }

    private static string Listed(IReadOnlyList<string> names) =>
        names.Count == 0 ? "no files" : string.Join(", ", names.Take(MostNamed)) + (names.Count > MostNamed ? $" and {names.Count - MostNamed} more" : "");

    [GeneratedRegex(@"^(.*)-(\d{5})-of-(\d{5})\.gguf\z")]
    private static partial Regex Part();
}
