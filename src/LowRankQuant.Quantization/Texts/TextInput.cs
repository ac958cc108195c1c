namespace LowRankQuant.Quantization.Texts;

/// <summary>A text that somebody names: a file, a folder of files, a pattern, or what a data set's name was found to be.</summary>
/// <param name="Path">The file, folder or pattern.</param>
public sealed record TextInput(string Path)
{
    /// <summary>As it was named; a path where nothing else is said.</summary>
    public string Name { get; init; } = Path;

    /// <summary>The files themselves, in order; null: as <see cref="Path"/> says.</summary>
    public IReadOnlyList<string>? Files { get; init; }

    /// <summary>Its part of the windows, beside the weights of the other texts; more than 0. Null where texts are read one behind the other.</summary>
    public double? Weight { get; init; }

    /// <summary>How rows make documents.</summary>
    public TextJoin Join { get; init; }

    /// <summary>The first so many rows alone; null for all.</summary>
    public int? MostRows { get; init; }

    /// <summary>A path as it stands.</summary>
    public static implicit operator TextInput(string path) => FromString(path);

    /// <summary>A path as it stands.</summary>
    public static TextInput FromString(string path) => new(path);

    /// <summary>The files that are read, in order.</summary>
    /// <exception cref="TextSourceException">There is none.</exception>
    internal IReadOnlyList<string> Expand() => Files ?? TextFiles.Of(Path);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
