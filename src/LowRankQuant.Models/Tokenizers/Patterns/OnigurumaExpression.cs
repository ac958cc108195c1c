using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LowRankQuant.Models.Tokenizers.Patterns;

/// <summary>
/// A regular expression as tokenizer.json has it (Oniguruma's, with Ruby's syntax) in the words of .NET's: possessive quantifiers become atomic groups, nested sets
/// one set, letters whose case is ignored sets of both. What the two read differently and cannot be said in the other's words is refused.
/// </summary>
internal sealed class OnigurumaExpression
{
    private const int LongestRepeat = 1000;

    // Letters, marks, digits, connectors and joiners.
    private const string Word = @"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\u200C\u200D";

    private static readonly HashSet<string> Categories = new(StringComparer.Ordinal)
    {
        "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So",
        "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Co", "Cn",
    };

    private static readonly (string Opening, string Written, bool IgnoresCase)[] Openings =
        [("(?:", "(?:", false), ("(?=", "(?=", false), ("(?!", "(?!", false), ("(?<=", "(?<=", false), ("(?<!", "(?<!", false), ("(?>", "(?>", false), ("(?i:", "(?:", true)];

    private readonly string _source;
    private readonly StringBuilder _written = new();
    private readonly BitArray _literals = new(char.MaxValue + 1);
    private int _at;
    private bool _ignoresCase;

    private OnigurumaExpression(string source) => _source = source;

    /// <summary>The expression for <see cref="Regex"/> with <see cref="RegexOptions.CultureInvariant"/>.</summary>
    internal string Text => _written.ToString();

    /// <summary>Reads an expression.</summary>
    /// <exception cref="FormatException">A part of it is not understood; the message names the part.</exception>
    internal static OnigurumaExpression Read(string source)
    {
        var expression = new OnigurumaExpression(source);
        expression.ReadAll();
        return expression;
    }

    /// <summary>Whether a character is named by itself or lies in a range, so that no other of its category may stand for it.</summary>
    internal bool Names(char c) => _literals[c];

    private void ReadAll()
    {
        var groups = new Stack<(int Start, bool IgnoresCase)>();
        // Where the last item begins that a quantifier may follow, and whether one did.
        int item = -1;
        bool isQuantified = false;
        while (_at < _source.Length)
        {
            char c = _source[_at];
            if (c is '*' or '+' or '?' || (c == '{' && TryReadRepeat(_at, out _, out _)))
            {
                if (item < 0) throw Refused(_at, 1, "a quantifier needs something in front of it");
                if (isQuantified) Wrap(item, "(?:");
                Quantify(item);
                isQuantified = true;
                continue;
            }
            isQuantified = false;
            int start = _written.Length;
            switch (c)
            {
                case '|':
                    _written.Append(c);
                    _at++;
                    item = -1;
                    continue;
                case '(':
                    groups.Push((start, _ignoresCase));
                    Open();
                    item = -1;
                    continue;
                case ')':
                    if (!groups.TryPop(out (int Start, bool IgnoresCase) group)) throw Refused(_at, 1, "no group is open");
                    _written.Append(c);
                    _at++;
                    item = group.Start;
                    _ignoresCase = group.IgnoresCase;
                    continue;
                case '[':
                    ReadSet();
                    break;
                case '\\':
                    ReadEscape(inSet: false);
                    break;
                case '.':
                    _written.Append(c);
                    _at++;
                    break;
                case '^' or '$':
                    throw Refused(_at, 1, "beginnings and ends of lines are not known here");
                default:
                    Literal(c, inSet: false);
                    _at++;
                    break;
            }
            item = start;
        }
        if (groups.Count > 0) throw Refused(0, 1, "a group is not closed");
    }

    private void Open()
    {
        if (_at + 1 >= _source.Length || _source[_at + 1] != '?')
        {
            _written.Append("(?:");
            _at++;
            return;
        }
        foreach ((string opening, string written, bool ignoresCase) in Openings)
        {
            if (string.CompareOrdinal(_source, _at, opening, 0, opening.Length) != 0) continue;
            _written.Append(written);
            _ignoresCase |= ignoresCase;
            _at += opening.Length;
            return;
        }
        throw Refused(_at, 4, "this kind of group is not known here");
    }

    private void Quantify(int item)
    {
        char c = _source[_at];
        if (c == '{')
        {
            TryReadRepeat(_at, out string repeat, out _at);
            _written.Append(repeat);
            // Ruby: {2}? is a pair or nothing, {1,2}? takes as few as will do; {1,2}+ repeats what {1,2} found.
            if (_at < _source.Length && _source[_at] == '?') throw Refused(_at - 1, 2, "lazy counts are not known here");
            return;
        }
        _written.Append(c);
        _at++;
        if (_at >= _source.Length) return;
        if (_source[_at] == '?')
        {
            _written.Append('?');
            _at++;
        }
        else if (_source[_at] == '+')
        {
            Wrap(item, "(?>");
            _at++;
        }
    }

    private void Wrap(int item, string opening)
    {
        _written.Insert(item, opening);
        _written.Append(')');
    }

    private bool TryReadRepeat(int at, out string written, out int end)
    {
        written = "";
        end = _source.IndexOf('}', at);
        if (end < 0) return false;
        string[] parts = _source[(at + 1)..end].Split(',');
        if (parts.Length > 2 || parts.Any(part => part.Any(digit => !char.IsAsciiDigit(digit))) || parts.All(part => part.Length == 0)) return false;
        if (parts.Any(part => part.Length > 0 && (part.Length > 4 || int.Parse(part, CultureInfo.InvariantCulture) > LongestRepeat)))
            throw Refused(at, end - at + 1, $"at most {LongestRepeat} repeats are counted");
        written = parts.Length == 1 ? $"{{{parts[0]}}}" : $"{{{(parts[0].Length == 0 ? "0" : parts[0])},{parts[1]}}}";
        end++;
        return true;
    }

    private void ReadSet()
    {
        int start = _at;
        _written.Append('[');
        _at++;
        if (_at < _source.Length && _source[_at] == '^')
        {
            _written.Append('^');
            _at++;
        }
        ReadSetItems(start);
        _written.Append(']');
    }

    private void ReadSetItems(int start)
    {
        for (bool isFirst = true; ; isFirst = false)
        {
            if (_at >= _source.Length) throw Refused(start, 2, "a set is not closed");
            char c = _source[_at];
            if (c == ']' && !isFirst)
            {
                _at++;
                return;
            }
            if (c == '&' && _at + 1 < _source.Length && _source[_at + 1] == '&') throw Refused(_at, 2, "intersections of sets are not known here");
            if (c == '[')
            {
                int inner = _at++;
                if (_at < _source.Length && _source[_at] is '^' or ':') throw Refused(inner, 2, "negated and named sets within sets are not known here");
                ReadSetItems(inner);
                continue;
            }
            if (c == '\\' && !IsLiteralEscape())
            {
                ReadEscape(inSet: true);
                continue;
            }
            char first = ReadSetLiteral();
            if (_at + 1 < _source.Length && _source[_at] == '-' && _source[_at + 1] is not ']' and not '[')
            {
                int dash = _at++;
                if (_source[_at] == '\\' && !IsLiteralEscape()) throw Refused(dash, 3, "a range ends with a character");
                char last = ReadSetLiteral();
                if (last < first) throw Refused(dash - 1, 3, "a range goes up");
                Range(first, last);
            }
            else
            {
                Literal(first, inSet: true);
            }
        }
    }

    private char ReadSetLiteral()
    {
        char c = _source[_at++];
        if (c != '\\') return Plain(c, _at - 1);
        return Escaped();
    }

    private void Range(char first, char last)
    {
        for (int c = first; c <= last; c++) _literals[c] = true;
        Escape(first);
        _written.Append('-');
        Escape(last);
        if (!_ignoresCase) return;
        for (char c = first; c <= last && c < 128; c++)
        {
            if (char.IsAsciiLetter(c)) Literal(c, inSet: true);
        }
        if (last >= 128) throw Refused(_at - 1, 1, "the case of letters beyond ASCII is not known here");
    }

    // The next two characters stand for one character.
    private bool IsLiteralEscape() => _at + 1 < _source.Length && _source[_at + 1] is not ('s' or 'S' or 'd' or 'D' or 'w' or 'W' or 'p' or 'P' or 'h' or 'H');

    private void ReadEscape(bool inSet)
    {
        if (_at + 1 >= _source.Length) throw Refused(_at, 1, "nothing follows it");
        char c = _source[_at + 1];
        switch (c)
        {
            case 's' or 'S' or 'd' or 'D':
                _written.Append('\\').Append(c);
                _at += 2;
                return;
            case 'w':
                _written.Append(inSet ? Word : $"[{Word}]");
                _at += 2;
                return;
            case 'W' when !inSet:
                _written.Append(CultureInfo.InvariantCulture, $"[^{Word}]");
                _at += 2;
                return;
            case 'p' or 'P':
                Category(c == 'P');
                return;
            case 'W' or 'h' or 'H' or 'b' or 'B' or 'A' or 'z' or 'Z' or 'G' or 'R' or 'X' or 'k' or 'g' or 'K' or (>= '1' and <= '9'):
                throw Refused(_at, 2, "this is not known here");
            default:
                _at++;
                Literal(Escaped(), inSet);
                return;
        }
    }

    // Behind the backslash; of one character.
    private char Escaped()
    {
        char c = _source[_at++];
        switch (c)
        {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case 'f': return '\f';
            case 'v': return '\v';
            case 'u': return Code(_at, 4, 0);
            case 'x' when _at < _source.Length && _source[_at] == '{':
                int end = _source.IndexOf('}', _at);
                return Code(_at + 1, end - _at - 1, 1);
            case 'x': return Code(_at, 2, 0);
            default:
                if (char.IsAsciiLetterOrDigit(c)) throw Refused(_at - 2, 2, "this is not known here");
                return Plain(c, _at - 1);
        }
    }

    private char Code(int at, int digits, int behind)
    {
        if (digits is < 1 or > 6 || at + digits > _source.Length || !int.TryParse(_source.AsSpan(at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code))
            throw Refused(at - 2, 4, "this is not the code of a character");
        if (code > char.MaxValue) throw Refused(at, digits, "characters beyond U+FFFF are not named here");
        _at = at + digits + behind;
        return Plain((char)code, at);
    }

    private void Category(bool isNegated)
    {
        int end = _source.IndexOf('}', _at);
        if (end < 0 || _source[_at + 2] != '{') throw Refused(_at, 3, "a category stands in braces");
        string name = _source[(_at + 3)..end];
        if (name.StartsWith('^'))
        {
            isNegated = !isNegated;
            name = name[1..];
        }
        if (!Categories.Contains(name)) throw Refused(_at, end - _at + 1, "the general categories of Unicode are known here, no scripts and other properties");
        _written.Append(isNegated ? @"\P{" : @"\p{").Append(name).Append('}');
        _at = end + 1;
    }

    private char Plain(char c, int at)
    {
        if (char.IsSurrogate(c)) throw Refused(at, 2, "characters beyond U+FFFF are not named here");
        return c;
    }

    private void Literal(char c, bool inSet)
    {
        Plain(c, _at);
        _literals[c] = true;
        if (!_ignoresCase || (c < 128 && !char.IsAsciiLetter(c)))
        {
            Escape(c);
            return;
        }
        if (c >= 128) throw Refused(_at, 1, "the case of letters beyond ASCII is not known here");
        char lower = char.ToLowerInvariant(c);
        // The long s and the Kelvin sign.
        string other = lower switch { 's' => "\u017F", 'k' => "\u212A", _ => "" };
        if (other.Length > 0) _literals[other[0]] = true;
        if (!inSet) _written.Append('[');
        _written.Append(lower).Append(char.ToUpperInvariant(c)).Append(other);
        if (!inSet) _written.Append(']');
    }

    private void Escape(char c) => _written.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");

    private FormatException Refused(int at, int length, string rule) =>
        new($"'{_source.AsSpan(at, Math.Min(length, _source.Length - at))}' at character {at}: {rule}");
}
