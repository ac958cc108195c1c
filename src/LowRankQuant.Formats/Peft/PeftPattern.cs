using System.Buffers;
using LowRankQuant.Formats.Modules;

namespace LowRankQuant.Formats.Peft;

/// <summary>
/// A key of <c>rank_pattern</c> or <c>alpha_pattern</c>: it matches a module when <c>^(.*\.)?(key)$</c> does. Keys that are plain names, as writers give one to
/// every module, are compared by characters: a regular expression for each of hundreds would take minutes.
/// </summary>
internal sealed class PeftPattern
{
    private static readonly SearchValues<char> Plain = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    private readonly string _key;
    private readonly NamePattern? _pattern;

    /// <summary>Reads a key.</summary>
    /// <param name="file">The configuration, for messages.</param>
    /// <param name="table">The table that holds the key, for messages.</param>
    /// <param name="key">The key.</param>
    /// <exception cref="CheckpointFormatException">It is too long, or no regular expression (<c>config-pattern</c>).</exception>
    public PeftPattern(string file, string table, string key)
    {
        _key = key;
        if (key.AsSpan().ContainsAnyExcept(Plain)) _pattern = new NamePattern(file, table, $@"^(.*\.)?({key})$", fromStart: false, key);
    }

    /// <summary>Whether the key is for a module.</summary>
    /// <exception cref="CheckpointFormatException">The expression takes too long (<c>config-pattern</c>).</exception>
    public bool Matches(string module)
    {
        if (_pattern is not null) return _pattern.Matches(module);
        int start = module.Length - _key.Length;
        if (start < 0 || (start > 0 && module[start - 1] != '.')) return false;
        for (int i = 0; i < _key.Length; i++)
        {
            // A dot of an expression stands for any character.
            if (_key[i] != module[start + i] && (_key[i] != '.' || module[start + i] == '\n')) return false;
        }
        return true;
    }
}
