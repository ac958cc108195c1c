namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>A picture in the making: SVG whose colours are classes of charts.css, so that it follows the light or dark scheme of the page that it stands in.</summary>
internal sealed class Picture
{
    /// <summary>Width of every picture: readable on a telephone, and three beside each other on a desk.</summary>
    public const int PageWidth = 360;

    /// <summary>Height of letters.</summary>
    public const int Letters = 12;

    private readonly List<(double Left, double Top, double Right, double Bottom)> _taken = [];
    private readonly Markup _svg = new();

    /// <summary>Begins a picture.</summary>
    /// <param name="id">Id within the page; null for a picture that is a file of its own.</param>
    /// <param name="width">Width.</param>
    /// <param name="height">Height.</param>
    /// <param name="title">What is drawn.</param>
    /// <param name="description">What it shows, for who does not see it.</param>
    public Picture(string? id, int width, int height, string title, string description)
    {
        (Width, Height) = (width, height);
        string own = id ?? "picture";
        _svg.Add($"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"{own}-t {own}-d\">");
        _svg.Add($"<title id=\"{own}-t\">{title}</title><desc id=\"{own}-d\">{description}</desc>");
        if (id is not null) return;
        _svg.Add($"<style>{Markup.Own(PageFiles.Style("charts.css"))}</style><rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>");
    }

    /// <summary>Width.</summary>
    public int Width { get; }

    /// <summary>Height.</summary>
    public int Height { get; }

    /// <summary>Whether a text would touch none that is there, and stay inside.</summary>
    public bool HasRoom(double x, double y, string text, string anchor = "start")
    {
        (double left, double top, double right, double bottom) = Box(x, y, text, anchor);
        return left >= 0 && right <= Width && top >= 0 && bottom <= Height && !_taken.Any(other => left < other.Right && right > other.Left && top < other.Bottom && bottom > other.Top);
    }

    /// <summary>Keeps texts that look for room away from a place.</summary>
    public void Take(double left, double top, double right, double bottom) => _taken.Add((left, top, right, bottom));

    /// <summary>Writes a text; its foot is at y.</summary>
    public void Text(double x, double y, string text, string anchor = "start", string kind = "")
    {
        _taken.Add(Box(x, y, text, anchor));
        string names = kind.Length == 0 ? "" : $" class=\"{kind}\"";
        _svg.Add($"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\"{Markup.Own(names)}>{text}</text>");
    }

    /// <summary>Writes a text where there is room for it.</summary>
    /// <returns>Whether there was.</returns>
    public bool TryText(double x, double y, string text, string anchor = "start", string kind = "")
    {
        if (!HasRoom(x, y, text, anchor)) return false;
        Text(x, y, text, anchor, kind);
        return true;
    }

    /// <summary>Draws a line.</summary>
    public void Line(double x1, double y1, double x2, double y2, string kind) => _svg.Add($"<line x1=\"{x1:0.#}\" y1=\"{y1:0.#}\" x2=\"{x2:0.#}\" y2=\"{y2:0.#}\" class=\"{kind}\"/>");

    /// <summary>Draws a box; hovering over it shows a text.</summary>
    public void Rectangle(double x, double y, double width, double height, string kind, string? hint = null) =>
        _svg.Add($"<rect x=\"{x:0.##}\" y=\"{y:0.##}\" width=\"{Math.Max(0, width):0.##}\" height=\"{Math.Max(0, height):0.##}\" class=\"{kind}\">{Hint(hint)}</rect>");

    /// <summary>Draws a line through points.</summary>
    public void Path(IEnumerable<(double X, double Y)> points, string kind)
    {
        var way = new Markup();
        foreach ((double x, double y) in points) way.Add(Markup.Of($"{x:0.#},{y:0.#} "));
        _svg.Add($"<polyline points=\"{way}\" class=\"{kind}\"/>");
    }

    /// <summary>Draws a point in the shape of its series, as colours alone tell nothing to many; hovering over it shows a text.</summary>
    public void Point(double x, double y, int series, string? hint = null, double size = 4.5)
    {
        string kind = $"dot s{series % 8}{(size < 2 ? " small" : "")}";
        Markup shape = (series % 4) switch
        {
            1 => Markup.Of($"<rect x=\"{x - (0.9 * size):0.#}\" y=\"{y - (0.9 * size):0.#}\" width=\"{1.8 * size:0.#}\" height=\"{1.8 * size:0.#}\" class=\"{kind}\">{Hint(hint)}</rect>"),
            2 => Markup.Of($"<polygon points=\"{x:0.#},{y - (1.2 * size):0.#} {x + (1.1 * size):0.#},{y + (0.9 * size):0.#} {x - (1.1 * size):0.#},{y + (0.9 * size):0.#}\" class=\"{kind}\">{Hint(hint)}</polygon>"),
            3 => Markup.Of($"<polygon points=\"{x:0.#},{y - (1.3 * size):0.#} {x + (1.3 * size):0.#},{y:0.#} {x:0.#},{y + (1.3 * size):0.#} {x - (1.3 * size):0.#},{y:0.#}\" class=\"{kind}\">{Hint(hint)}</polygon>"),
            _ => Markup.Of($"<circle cx=\"{x:0.#}\" cy=\"{y:0.#}\" r=\"{size:0.#}\" class=\"{kind}\">{Hint(hint)}</circle>"),
        };
        _svg.Add(shape);
        Take(x - size - 1, y - size - 1, x + size + 1, y + size + 1);
    }

    /// <summary>Names of series in lines from the left, each behind its mark.</summary>
    /// <param name="y">Foot of the first line.</param>
    /// <param name="names">Name and number of each series, and whether its line is dashed.</param>
    public void Legend(double y, IEnumerable<(string Name, int Series, bool IsDashed)> names)
    {
        double x = 6;
        foreach ((string name, int series, bool isDashed) in names)
        {
            double width = 36 + Figure.Width(name);
            if (x > 6 && x + width > Width) (x, y) = (6, y + LegendLine);
            Line(x, y - 4, x + 22, y - 4, $"line s{series % 8}{(isDashed ? " dashed" : "")}");
            Point(x + 11, y - 4, series, size: 3.5);
            Text(x + 27, y, name);
            x += width + 10;
        }
    }

    /// <summary>How many lines such names take.</summary>
    public static int LegendLines(IEnumerable<string> names, int width = PageWidth)
    {
        double x = 6;
        int lines = 1;
        foreach (string name in names)
        {
            double own = 36 + Figure.Width(name);
            if (x > 6 && x + own > width) (x, lines) = (6, lines + 1);
            x += own + 10;
        }
        return lines;
    }

    /// <summary>From one line of a legend to the next.</summary>
    public const int LegendLine = 18;

    /// <summary>The picture.</summary>
    public Markup End() => new Markup().Add(_svg).Add($"</svg>");

    private static Markup Hint(string? hint) => hint is null ? new Markup() : Markup.Of($"<title>{hint}</title>");

    private static (double Left, double Top, double Right, double Bottom) Box(double x, double y, string text, string anchor)
    {
        double width = Figure.Width(text), left = anchor switch { "end" => x - width, "middle" => x - (width / 2), _ => x };
        return (left - 2, y - Letters, left + width + 2, y + 3);
    }
}
