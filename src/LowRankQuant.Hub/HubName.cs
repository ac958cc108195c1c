using System.Text.RegularExpressions;

namespace LowRankQuant.Hub;

/// <summary>
/// What names a repository of a Hugging Face hub, or a file in it: <c>org/name</c>, <c>org/name@revision</c>, <c>hf://org/name@revision/path</c>,
/// <c>hf://datasets/org/name/path</c>, as Python's HfFileSystem writes them.
/// </summary>
/// <param name="Repository"><c>org/name</c>.</param>
/// <param name="Revision">A branch, a tag or a commit.</param>
/// <param name="Path">A file in it; null for the repository.</param>
/// <param name="IsDataset">Whether it holds data, not a model.</param>
public sealed partial record HubName(string Repository, string Revision, string? Path, bool IsDataset)
{
    /// <summary>What begins a name that can be nothing else.</summary>
    public const string Scheme = "hf://";

    /// <summary>The revision where none is named.</summary>
    public const string DefaultRevision = "main";

    private const string Datasets = "datasets/";
    private const int LongestRepository = 96, LongestRevision = 200;

    // Names that end so are files, though a repository could be called so too.
    private static readonly string[] FileEndings = [".gguf", ".safetensors", ".json", ".jsonl", ".txt", ".bin", ".pt", ".pth", ".onnx", ".gz", ".zst", ".csv", ".parquet"];

    /// <summary>Whether the revision is a commit, whose files never change.</summary>
    public bool IsCommit => Commit().IsMatch(Revision);

    /// <summary>
    /// The name that an argument is, where it is one: what begins with <c>hf://</c>, or <c>org/name</c> where nothing here is called so. Whatever is there
    /// as a file or folder is a path, and so is all that lies in a folder <c>org</c> here. Nothing is asked of anybody.
    /// </summary>
    /// <param name="argument">What a user gave.</param>
    /// <returns>The name; null for a path.</returns>
    /// <exception cref="HubException">It begins with <c>hf://</c> and is no name.</exception>
    public static HubName? Of(string argument)
    {
        if (argument.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return Parse(argument);
        if (!Bare().IsMatch(argument) || FileEndings.Any(ending => argument.EndsWith(ending, StringComparison.OrdinalIgnoreCase))) return null;
        if (System.IO.Path.Exists(argument) || Directory.Exists(argument[..argument.IndexOf('/', StringComparison.Ordinal)])) return null;
        try
        {
            return Parse(Scheme + argument);
        }
        catch (HubException)
        {
            return null;
        }
    }

    /// <summary>Parses a name that begins with <c>hf://</c>.</summary>
    /// <exception cref="HubException">It is none; says what is wrong.</exception>
    public static HubName Parse(string text)
    {
        string rest = text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? text[Scheme.Length..] : throw Bad(text, $"must begin with {Scheme}");
        bool dataset = rest.StartsWith(Datasets, StringComparison.Ordinal);
        if (dataset) rest = rest[Datasets.Length..];
        else if (rest.StartsWith("models/", StringComparison.Ordinal)) rest = rest["models/".Length..];
        else if (rest.StartsWith("spaces/", StringComparison.Ordinal)) throw Bad(text, "spaces hold programs, which are not read");
        Match match = Parts().Match(rest);
        if (!match.Success) throw Bad(text, $"must be {Scheme}ORG/NAME, {Scheme}ORG/NAME@REVISION/FILE or {Scheme}{Datasets}ORG/NAME/FILE");
        string repository = match.Groups["repository"].Value;
        if (!IsRepository(repository)) throw Bad(text, $"'{repository}' must be two names of letters, digits, '-', '_' and '.', at most {LongestRepository} characters in all, without '--' and '..'");
        string revision = match.Groups["revision"] is { Success: true } given ? Uri.UnescapeDataString(given.Value) : DefaultRevision;
        if (!IsRevision(revision)) throw Bad(text, $"'{revision}' must be a branch, a tag or a commit");
        string? path = match.Groups["path"] is { Success: true } named ? named.Value : null;
        if (path is not null) HubPath.Require(path, text);
        return new HubName(repository, revision, path, dataset);
    }

    /// <summary>The same at another revision.</summary>
    /// <exception cref="HubException">It can be none.</exception>
    public HubName At(string revision) => IsRevision(revision) ? this with { Revision = revision } : throw Bad($"{Scheme}{Repository}@{revision}", $"'{revision}' must be a branch, a tag or a commit");

    /// <summary>As a user would write it.</summary>
    public override string ToString()
    {
        string revision = Revision == DefaultRevision ? "" : $"@{(Revision.StartsWith("refs/", StringComparison.Ordinal) ? Revision : Uri.EscapeDataString(Revision))}";
        string name = $"{(IsDataset ? Datasets : "")}{Repository}{revision}";
        return Path is null && !IsDataset ? name : $"{Scheme}{name}{(Path is null ? "" : "/")}{Path}";
    }

    // The rules of huggingface_hub's validate_repo_id; "--" divides names of folders in its cache.
    private static bool IsRepository(string name) =>
        name.Length <= LongestRepository && !name.Contains("--", StringComparison.Ordinal) && !name.Contains("..", StringComparison.Ordinal)
        && !name.EndsWith(".git", StringComparison.Ordinal) && Array.TrueForAll(name.Split('/'), part => part[0] is not ('-' or '.') && part[^1] is not ('-' or '.'));

    // A revision becomes the name of a file under refs/.
    private static bool IsRevision(string revision) =>
        revision.Length is > 0 and <= LongestRevision && revision[0] != '-' && HubPath.IsSafe(revision) && !revision.Contains("..", StringComparison.Ordinal)
        && !revision.Any(c => c is ' ' or '~' or '^' or '?' or '*' or '[' or '@') && !revision.EndsWith(".lock", StringComparison.Ordinal);

    private static HubException Bad(string text, string rule) => new($"{text}: {rule}.");

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+(@[^/\\:\s]+)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Bare();

    [GeneratedRegex(@"^(?<repository>[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)(@(?<revision>refs/(pr|convert)/[^/]+|[^/]*))?(/(?<path>.*))?\z", RegexOptions.CultureInvariant | RegexOptions.Singleline)]
    private static partial Regex Parts();

    [GeneratedRegex(@"^[0-9a-f]{40}\z", RegexOptions.CultureInvariant)]
    internal static partial Regex Commit();
}
