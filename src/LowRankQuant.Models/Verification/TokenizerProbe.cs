using System.Text;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.Pipeline;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Verification;

/// <summary>
/// Texts on which two tokenizers that are not the same fall apart: scripts, composed and decomposed letters, emoji and joiners, runs of digits, spaces and
/// marks, line ends, control characters, code, casing, contractions, words without an end; and every added token with and without text around it.
/// </summary>
internal static class TokenizerProbe
{
    private const string Letters = "abcdefghijklmnopqrstuvwxyz";

    private static readonly string[] Scripts =
    [
        "The quick brown fox jumps over the lazy dog.", "Les élèves naïfs ont déjà mangé où l'été s'achève.", "Größe, Straße, ÄÖÜ, ẞ", "¿Qué pasó, niño? ¡Año!",
        "İstanbul'da ığdır, ŞĞ", "Příliš žluťoučký kůň úpěl ďábelské ódy", "Zażółć gęślą jaźń", "Съешь же ещё этих мягких булок", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ΣΑΣ σας",
        "שלום עולם, מה שלומך?", "السَّلامُ عَلَيْكُمْ ٣٤٥", "हिन्दी में एक वाक्य १२३", "বাংলা ভাষা", "தமிழ் மொழி", "ภาษาไทยไม่มีช่องว่าง", "ລາວ", "မြန်မာ", "ខ្មែរ", "ქართული ენა", "Հայերեն",
        "አማርኛ", "日本語の文章です。カタカナとひらがな", "中文沒有空格，但有標點。", "한국어 문장입니다", "한국", "Tiếng Việt có dấu", "ᏣᎳᎩ", "ⴰⵎⴰⵣⵉⵖ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚", "ﬁ ﬀ ﬃ ™ ® ½ ² Ⅷ ㎏ Å Ω",
        "ＦＵＬＬ ｗｉｄｔｈ １２３", "e\u0301 a\u0308 o\u0302\u0323 n\u0303 \u1E9B\u0323", "\u00C5 A\u030A \u212B", "\uFEFFmark", "a\u00ADb\u200Bc\u200Cd\u200De\u2060f", "\u202Ertl\u202C",
    ];

    private static readonly string[] Symbols =
    [
        "😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☃☂☁", "→←↑↓⇒", "∀x∈ℝ: ∃y ≠ ∞", "€£¥₹", "“quotes” ‘single’ «guillemets»", "…—–―", "\uFFFD", "\uD83D", "\uDE00x", "x\uD800y",
        "a😀b 😀 c", "🧑🏿‍🚀 on 🌒", "\u0000", "\u0001\u0002\u001F", "\u007F\u0080\u009F", "\u00A0 \u2003 \u3000x", "\u2028a\u2029b", "\U0001D173", "\U000E0041",
    ];

    private static readonly string[] Code =
    [
        "def f(x):\n    return x**2  # comment\n", "for (int i = 0; i < n; i++) { a[i] += b[i]; }", "SELECT * FROM t WHERE id = 'x'' OR 1=1;", "<div class=\"a\">&nbsp;</div>",
        "{\"key\": [1, 2.5e-3, null, true]}", "https://example.org/a-b_c?d=e&f=%20#g", "user@example.org", "C:\\Windows\\System32", "#include <stdio.h>\r\n\r\nint main(void)\r\n{\r\n\treturn 0;\r\n}",
        "if(a&&b||!c)?d:e", "λ x → x", "$ ls -la | grep '^d' >> /dev/null 2>&1", "```python\nprint('hi')\n```", "| a | b |\n|---|---|\n", "\\begin{align} x_{i}^{2} \\end{align}", "snake_case camelCase PascalCase kebab-case SCREAMING_CASE",
        "x=1;y=-2.50;z=+3e+10", "0xDEADBEEF 0b1010 1_000_000", "[[[((({{{", "-->", "...", "!?!?", "a.b.c.d", "::", "//", "/* */",
    ];

    private static readonly string[] Words =
    [
        "I'm you're he's we've they'd she'll it's don't can't", "I'M YOU'RE HE'S WE'VE THEY'D SHE'LL IT'S DON'T CAN'T", "'s 't 're 've 'm 'll 'd", "'S 'T 'RE 'Ve 'M 'lL 'D", "'' ''s",
        "rock 'n' roll", "O'Neil's", "HELLO World hELLO wORLD", "ONCE Upon A Time There WAS a Cat.", "McDonald iPhone eBay", "Hello", " Hello", "  Hello", "Hello ", "Hello  ", "Hello\n", "\nHello", "Hello\n\nWorld",
        "a", "A", " a", " A", "aa", "aA", "Aa", "1st 2nd 3rd", "12,345.67", "3.14159", "2024-01-31T23:59:59Z", "+1 (555) 010-9999", "½cup", "H2O CO₂", "v1.2.3-rc.4", "100%", "#1", "No.5", "(c)", "a-b—c",
        "user\nHello there my friend", "[INST] Hi [/INST]", "<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>", "<|im_start|>", "<0x0A>", "<0xFF>", "\u2581", "\u2581a", "a\u2581b", "\u0120", "\u010A", "Ġthe",
    ];

    /// <summary>All texts that do not depend on a vocabulary.</summary>
    public static IReadOnlyList<string> Texts { get; } = [.. Make().Distinct(StringComparer.Ordinal)];

    /// <summary>A token with and without text around it.</summary>
    public static string[] Around(string token) => [token, $" {token}", $"{token} ", $"a{token}b", $"a {token} b", $"{token}{token}", $"{token}\nx", $"A, {token}."];

    /// <summary>The tokens that are searched for in a text: special ones, and those that were added.</summary>
    public static IEnumerable<string> TokensOf(ITokenizer tokenizer)
    {
        IEnumerable<string> added = tokenizer switch
        {
            PipelineTokenizer pipeline => pipeline.Parts.Added.All.Select(token => token.Content),
            SpmTokenizer spm => spm.Added.All.Select(token => token.Content),
            _ => [],
        };
        return added.Concat(Enumerable.Range(0, tokenizer.VocabularySize).Where(tokenizer.IsSpecial).Select(id => tokenizer.TokenText(id)!)).Distinct(StringComparer.Ordinal);
    }

    private static IEnumerable<string> Make()
    {
        foreach (string text in Scripts.Concat(Symbols).Concat(Code).Concat(Words)) yield return text;
        foreach (string zero in new[] { "0", "٠", "०", "０" })
        {
            for (int length = 1; length <= 9; length++) yield return Run(length, at => char.ConvertFromUtf32(zero[0] + ((at + 1) % 10)));
        }
        yield return "x" + new string('9', 40);
        foreach (string space in new[] { " ", "\t", "\n", "\r", "\r\n", "\u00A0", "\u3000", " \n", "\n ", "\t " })
        {
            for (int length = 1; length <= 5; length++)
            {
                string run = Run(length, _ => space);
                yield return run;
                yield return $"a{run}b";
                yield return $"{run}1";
            }
        }
        for (int length = 6; length <= 40; length += 7) yield return $"x{new string(' ', length)}y";
        for (char mark = '!'; mark <= '~'; mark++)
        {
            if (char.IsAsciiLetterOrDigit(mark)) continue;
            yield return $"{mark}";
            yield return $"a{mark}b {mark}c{mark}{mark} {mark}{mark}{mark}\n";
        }
        yield return Run(300, _ => "a");
        yield return Run(600, at => Letters[at * 7 % Letters.Length].ToString());
        yield return Run(200, at => "日本語文"[at % 4].ToString());
        yield return Run(120, at => at % 3 == 0 ? " " : Letters[at * 5 % Letters.Length].ToString());
        yield return Run(64, _ => "😀");
        yield return Run(100, _ => "=");
        yield return "";
    }

    private static string Run(int length, Func<int, string> part)
    {
        var text = new StringBuilder();
        for (int at = 0; at < length; at++) text.Append(part(at));
        return text.ToString();
    }
}
