using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace LowRankQuant.Quantization.Recipes.Files;

/// <summary>
/// YAML as far as recipes need it: maps, lists and scalars of one document. Anchors, aliases, tags and deep nesting, by which a small file can become a large
/// one or end a program, are refused.
/// </summary>
internal abstract record YamlTree(long Line)
{
    private const int MostCharacters = 1 << 20;
    private const int MostDepth = 16;

    /// <summary>What a node is, for messages.</summary>
    public abstract string Kind { get; }

    /// <summary>Reads a text.</summary>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="FormatException">It is no YAML, or more of it than a recipe needs; the message names file and line.</exception>
    public static YamlTree Read(string text, string file)
    {
        if (text.Length > MostCharacters) throw new FormatException($"{file}: {text.Length} characters; a recipe has {MostCharacters} at most.");
        var parser = new Parser(new StringReader(text));
        try
        {
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _)) throw new FormatException($"{file}: holds no recipe.");
            parser.Consume<DocumentStart>();
            YamlTree tree = Node(parser, file, 0);
            parser.Consume<DocumentEnd>();
            if (!parser.Accept<StreamEnd>(out _)) throw new FormatException($"{file}: holds more than one document; a recipe is one.");
            return tree;
        }
        catch (YamlException failure)
        {
            throw new FormatException($"{file}, line {failure.Start.Line}, column {failure.Start.Column}: {Reason(failure)}", failure);
        }
        catch (Exception failure) when (failure is InvalidOperationException or ArgumentException)
        {
            // The parser has no words of its own for some texts, such as one with control characters.
            throw new FormatException($"{file}, behind line {parser.Current?.End.Line ?? 1}: is no YAML.", failure);
        }
    }

    // What the parser says without its own position.
    private static string Reason(YamlException failure)
    {
        string message = (failure.InnerException ?? failure).Message;
        int end = message.StartsWith('(') ? message.IndexOf("): ", StringComparison.Ordinal) : -1;
        return message[(end < 0 ? 0 : end + 3)..];
    }

    private static YamlTree Node(IParser parser, string file, int depth)
    {
        long line = parser.Current?.Start.Line ?? 0;
        if (depth > MostDepth) throw new FormatException($"{file}, line {line}: nested deeper than {MostDepth} levels; no recipe is.");
        if (parser.Current is AnchorAlias) throw new FormatException($"{file}, line {line}: aliases (*NAME) are not read; write the value out.");
        if (parser.Current is not NodeEvent node) throw new FormatException($"{file}, line {line}: a value is missing.");
        if (!node.Anchor.IsEmpty) throw new FormatException($"{file}, line {line}: anchors (&NAME) are not read; write the value out.");
        if (!node.Tag.IsEmpty && !node.Tag.IsNonSpecific) throw new FormatException($"{file}, line {line}: tags (!NAME) are not read; leave it out.");
        switch (node)
        {
            case YamlDotNet.Core.Events.Scalar scalar:
                parser.MoveNext();
                bool isNull = scalar.Style == ScalarStyle.Plain && scalar.Value is "" or "~" or "null" or "Null" or "NULL";
                return new YamlScalar(isNull ? null : scalar.Value, line);
            case SequenceStart:
                parser.MoveNext();
                var items = new List<YamlTree>();
                while (!parser.Accept<SequenceEnd>(out _)) items.Add(Node(parser, file, depth + 1));
                parser.MoveNext();
                return new YamlList(items, line);
            default:
                parser.MoveNext();
                var pairs = new List<(string Key, YamlTree Value, long Line)>();
                var keys = new HashSet<string>(StringComparer.Ordinal);
                while (!parser.Accept<MappingEnd>(out _))
                {
                    long at = parser.Current?.Start.Line ?? line;
                    if (Node(parser, file, depth + 1) is not YamlScalar { Text: { } key }) throw new FormatException($"{file}, line {at}: a key must be a word.");
                    if (!keys.Add(key)) throw new FormatException($"{file}, line {at}: '{key}' is given twice.");
                    pairs.Add((key, Node(parser, file, depth + 1), at));
                }
                parser.MoveNext();
                return new YamlMap(pairs, line);
        }
    }
}

/// <summary>A single value.</summary>
/// <param name="Text">As it is written; null for no value.</param>
/// <param name="Line">Where it stands.</param>
internal sealed record YamlScalar(string? Text, long Line) : YamlTree(Line)
{
    /// <inheritdoc/>
    public override string Kind => Text is null ? "nothing" : $"'{Text}'";
}

/// <summary>A list.</summary>
/// <param name="Items">In order.</param>
/// <param name="Line">Where it begins.</param>
internal sealed record YamlList(IReadOnlyList<YamlTree> Items, long Line) : YamlTree(Line)
{
    /// <inheritdoc/>
    public override string Kind => "a list";
}

/// <summary>Values by key.</summary>
/// <param name="Pairs">In order, keys once each.</param>
/// <param name="Line">Where it begins.</param>
internal sealed record YamlMap(IReadOnlyList<(string Key, YamlTree Value, long Line)> Pairs, long Line) : YamlTree(Line)
{
    /// <inheritdoc/>
    public override string Kind => "a map";
}
