using System.IO.Compression;
using System.Text;

namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>Unicode normalization forms C, D, KC and KD by our own table, see <see cref="UnicodeNormalizationData"/>.</summary>
internal static class UnicodeNormalizer
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28, HangulCount = LeadCount * VowelCount * TrailCount;
    private static readonly Lazy<Tables> Data = new(Load);

    private sealed record Tables(
        Dictionary<int, int[]> Canonical, Dictionary<int, int[]> Compatible, Dictionary<ulong, int> Compositions, Dictionary<int, byte> Classes)
    {
        /// <summary>Characters that may join one in front of them.</summary>
        public HashSet<int> Seconds { get; } = [.. Compositions.Keys.Select(pair => (int)(uint)pair)];

        /// <summary>Characters that one behind them may join.</summary>
        public HashSet<int> Firsts { get; } = [.. Compositions.Keys.Select(pair => (int)(pair >> 32))];
    }

    internal static string Normalize(string text, NormalizationForm form)
    {
        bool compatible = form is NormalizationForm.FormKC or NormalizationForm.FormKD;
        bool composes = form is NormalizationForm.FormC or NormalizationForm.FormKC;
        // Below these code points nothing changes: no character combines, none decomposes in the form.
        char stable = compatible ? '\u00A0' : composes ? '\u0300' : '\u00C0';
        if (!text.AsSpan().ContainsAnyInRange(stable, char.MaxValue)) return text;
        Tables tables = Data.Value;
        List<int> points = new(text.Length);
        List<byte> classes = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) Decompose(rune.Value, compatible, tables, points, classes);
        Reorder(points, classes);
        if (composes) Compose(points, classes, tables);
        StringBuilder result = new(points.Count);
        Span<char> units = stackalloc char[2];
        foreach (int point in points)
        {
            if (point < 0x10000) result.Append((char)point);
            else result.Append(units[..new Rune(point).EncodeToUtf16(units)]);
        }
        return result.ToString();
    }

    /// <summary>Canonical combining class; 0 for starters.</summary>
    internal static int CombiningClass(int point) => point < 0x300 ? 0 : Data.Value.Classes.GetValueOrDefault(point);

    /// <summary>
    /// Whether texts that end and begin with two characters are normalized by themselves as they are together, and keep these characters, whatever else
    /// they hold.
    /// </summary>
    internal static bool IsBoundary(char before, char after, NormalizationForm form)
    {
        Tables tables = Data.Value;
        return StandsApart(before) && StandsApart(after) && !tables.Firsts.Contains(after)
            && (uint)(after - LeadBase) >= LeadCount && (uint)(after - HangulBase) >= HangulCount;

        bool StandsApart(char c) => CombiningClass(c) == 0 && !tables.Seconds.Contains(c)
            && (uint)(c - VowelBase) >= VowelCount && (uint)(c - TrailBase) >= TrailCount && Normalize(c.ToString(), form) is [char same] && same == c;
    }

    private static void Decompose(int point, bool compatible, Tables tables, List<int> points, List<byte> classes)
    {
        if (point >= 0xA0)
        {
            int index = point - HangulBase;
            if ((uint)index < HangulCount)
            {
                Append(LeadBase + index / (VowelCount * TrailCount));
                Append(VowelBase + index % (VowelCount * TrailCount) / TrailCount);
                if (index % TrailCount != 0) Append(TrailBase + index % TrailCount);
                return;
            }
            if (tables.Canonical.TryGetValue(point, out int[]? parts) || (compatible && tables.Compatible.TryGetValue(point, out parts)))
            {
                foreach (int part in parts) Decompose(part, compatible, tables, points, classes);
                return;
            }
        }
        points.Add(point);
        classes.Add(point < 0x300 ? (byte)0 : tables.Classes.GetValueOrDefault(point));

        void Append(int jamo)
        {
            points.Add(jamo);
            classes.Add(0);
        }
    }

    // Sorts each run of combining marks by class. A merge sort would be stable too; runs are short, but a hostile text may hold a
    // long one, so runs above a few marks go through a sort that is n log n.
    private static void Reorder(List<int> points, List<byte> classes)
    {
        for (int start = 0; start < points.Count; start++)
        {
            if (classes[start] == 0) continue;
            int end = start + 1;
            bool sorted = true;
            while (end < points.Count && classes[end] != 0)
            {
                sorted &= classes[end] >= classes[end - 1];
                end++;
            }
            if (!sorted)
            {
                (byte Class, int Point)[] run = new (byte, int)[end - start];
                for (int i = 0; i < run.Length; i++) run[i] = (classes[start + i], points[start + i]);
                int at = start;
                foreach ((byte rank, int point) in run.OrderBy(mark => mark.Class))
                {
                    classes[at] = rank;
                    points[at++] = point;
                }
            }
            start = end - 1;
        }
    }

    private static void Compose(List<int> points, List<byte> classes, Tables tables)
    {
        int starter = -1;
        int written = 0;
        int lastClass = -1;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i];
            byte rank = classes[i];
            // A mark may join its starter unless a mark of the same or a higher class, or another starter, stands between them.
            if (starter >= 0 && (lastClass < rank || lastClass == -1) && TryCompose(points[starter], point, tables, out int composed))
            {
                points[starter] = composed;
                continue;
            }
            if (rank == 0)
            {
                starter = written;
                lastClass = -1;
            }
            else
            {
                lastClass = rank;
            }
            points[written] = point;
            classes[written++] = rank;
        }
        points.RemoveRange(written, points.Count - written);
        classes.RemoveRange(written, classes.Count - written);
    }

    private static bool TryCompose(int first, int second, Tables tables, out int composed)
    {
        if ((uint)(first - LeadBase) < LeadCount && (uint)(second - VowelBase) < VowelCount)
        {
            composed = HangulBase + ((first - LeadBase) * VowelCount + second - VowelBase) * TrailCount;
            return true;
        }
        if ((uint)(first - HangulBase) < HangulCount && (first - HangulBase) % TrailCount == 0 && (uint)(second - TrailBase - 1) < TrailCount - 1)
        {
            composed = first + second - TrailBase;
            return true;
        }
        return tables.Compositions.TryGetValue(((ulong)first << 32) | (uint)second, out composed);
    }

    private static Tables Load()
    {
        using MemoryStream packed = new(Convert.FromBase64String(UnicodeNormalizationData.Packed));
        using BufferedStream data = new(new DeflateStream(packed, CompressionMode.Decompress));
        Dictionary<int, int[]> canonical = [];
        Dictionary<int, int[]> compatible = [];
        Dictionary<ulong, int> compositions = [];
        int count = ReadNumber(data);
        int point = 0;
        for (int i = 0; i < count; i++)
        {
            point += ReadNumber(data);
            int shape = ReadNumber(data);
            int[] parts = new int[shape / 3];
            int part = point;
            for (int p = 0; p < parts.Length; p++)
            {
                int zigzag = ReadNumber(data);
                part += (zigzag >> 1) ^ -(zigzag & 1);
                parts[p] = part;
            }
            (shape % 3 == 2 ? compatible : canonical).Add(point, parts);
            if (shape % 3 == 0) compositions.Add(((ulong)parts[0] << 32) | (uint)parts[1], point);
        }
        Dictionary<int, byte> classes = [];
        int runs = ReadNumber(data);
        int start = 0;
        for (int i = 0; i < runs; i++)
        {
            start += ReadNumber(data);
            int length = ReadNumber(data);
            byte rank = (byte)data.ReadByte();
            for (int p = 0; p < length; p++) classes.Add(start + p, rank);
        }
        return new Tables(canonical, compatible, compositions, classes);
    }

    private static int ReadNumber(BufferedStream data)
    {
        int value = 0;
        for (int shift = 0; ; shift += 7)
        {
            int b = data.ReadByte();
            value |= (b & 127) << shift;
            if (b < 128) return value;
        }
    }
}
